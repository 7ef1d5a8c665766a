"""Make pictures and sample report of the documents from a simulated run: `python docs/make_pictures.py reports/demo`.

Needs Chromium. Pictures of real imagery do not belong into the repository, so a report on such is refused.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT / "tests"))

from fixtures.browser import Browser, find  # noqa: E402 - after the path

WIDTH = 1000
COLOURS = 128
MARGIN_PX = 12
SAMPLE_BYTES = 700_000
"""A sample report is no larger, so that the repository stays small."""


def main(report: Path) -> None:
    """Write report.png, the page down to its first section; chips.png, real beside synthetic chips; and the page."""
    if not json.loads((report / "report.json").read_text("utf-8"))["simulated"]:
        sys.exit(f"{report} is not on simulated data")
    command = find()
    if command is None:
        sys.exit("no Chromium found")
    PICTURES.mkdir(exist_ok=True)
    page = (report / "report.html").read_bytes()
    if len(page) > SAMPLE_BYTES:
        sys.exit(f"{report / 'report.html'} has {len(page):,} bytes, more than {SAMPLE_BYTES:,}")
    (PICTURES / "sample-report.html").write_bytes(page)
    with tempfile.TemporaryDirectory() as folder, Browser(command, Path(folder, "profile")) as browser:
        browser.open(report / "report.html", WIDTH)
        browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
        whole = Path(folder, "page.png")
        browser.screenshot(whole)
        picture = Image.open(whole).convert("RGB")
        first, _ = edges(browser, "next")
        save(picture.crop((0, 0, WIDTH, first - MARGIN_PX)), "report.png")
        top, _ = edges(browser, "chips")
        second = "document.getElementById('chips').closest('section').querySelectorAll('h3')[1]"
        bottom = int(browser.evaluate(f"{second}.getBoundingClientRect().top + window.scrollY"))
        save(picture.crop((0, top, WIDTH, bottom - MARGIN_PX)), "chips.png")


def edges(browser: Browser, section: str) -> tuple[int, int]:
    """Return the rows of the page between which a section lies."""
    box = f"document.getElementById('{section}').closest('section').getBoundingClientRect()"
    top, bottom = (float(browser.evaluate(f"{box}.{side} + window.scrollY")) for side in ("top", "bottom"))
    return int(top), int(bottom)


def save(picture: Image.Image, name: str) -> None:
    """Write a picture with few colours, which is all that a page has."""
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
