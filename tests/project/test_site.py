"""The documentation as a site: it builds strictly and offline, its links lead somewhere, its reference is current."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from fixtures import REPOSITORY, browser

NO_NETWORK = """
import socket

def refuse(*arguments, **named):
    raise OSError("the network is not to be used")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


class Page(HTMLParser):
    """What an HTML page links to, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("img", "script", "source") and "src" in given:
            self.loads.append(given["src"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect", "dns-prefetch"):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The pages of the built site, built where no connection can be made."""
    pytest.importorskip("material", reason="the site needs `pip install 'satpipe[docs]'`")
    folder = tmp_path_factory.mktemp("site")
    (folder / "no-network").mkdir()
    (folder / "no-network" / "sitecustomize.py").write_text(NO_NETWORK)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder / "site")],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(folder / "no-network"), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Page(path.read_text("utf-8")) for path in (folder / "site").rglob("*.html")}


def test_the_site_builds_without_a_network(site: dict[Path, Page]) -> None:
    names = {path.name for path in site}
    missing = [path for path in (REPOSITORY / "docs").rglob("*.md") if f"{path.stem}.html" not in names]
    assert not missing


def test_links_and_pictures_of_the_site_lead_somewhere(site: dict[Path, Page]) -> None:
    broken = []
    for path, page in site.items():
        if path.name == "404.html":  # its links are for a server's root
            continue
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{path.name}: {link}")
            elif parts.fragment and target in site and unquote(parts.fragment) not in site[target].anchors:
                broken.append(f"{path.name}: {link}: no such anchor")
    assert not broken


def test_the_site_loads_nothing_from_elsewhere(site: dict[Path, Page]) -> None:
    assert not [load for page in site.values() for load in page.loads if urlsplit(load).netloc]


def test_search_works_from_a_folder(site: dict[Path, Page], tmp_path: Path) -> None:
    command = browser.find()
    if command is None:
        pytest.skip("no Chromium is installed")
    page = next(path for path in site if path.as_posix().endswith("guides/use.html"))
    with browser.Browser(command, tmp_path) as tab:
        tab.open(page, 1200)
        tab.evaluate(
            "const query = document.querySelector('[data-md-component=search-query]'); query.focus();"
            " query.value = 'safetensors'; query.dispatchEvent(new Event('keyup', {bubbles: true}))"
        )
        until = time.monotonic() + 30
        while not (found := tab.evaluate("document.querySelector('.md-search-result__link')?.href")):
            assert time.monotonic() < until
            time.sleep(0.2)
    assert "guides/use.html" in found


def test_every_page_is_in_the_navigation() -> None:
    def files(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        return [name for one in inner for name in files(one)]  # type: ignore[attr-defined]

    listed = files(yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text("utf-8"))["nav"])
    there = {path.relative_to(REPOSITORY / "docs").as_posix() for path in (REPOSITORY / "docs").rglob("*.md")}
    assert set(listed) == there


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "docs" / "make_reference.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_pictures_are_of_simulated_data_and_named_in_a_document() -> None:
    text = "".join(path.read_text("utf-8") for path in [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
    pictures = sorted((REPOSITORY / "docs" / "pictures").iterdir())
    assert pictures
    assert not [path.name for path in pictures if f"pictures/{path.name}" not in text]
    refused = subprocess.run(
        [sys.executable, str(REPOSITORY / "docs" / "make_pictures.py"), "no/such/report"],
        capture_output=True,
        text=True,
    )
    assert refused.returncode != 0
