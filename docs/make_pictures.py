"""Make the pictures of the documents from a run on simulated data: `python docs/make_pictures.py reports/demo`.

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
sys.path.insert(0, str(ROOT / "tests" / "report"))

from browser import Browser, find  # noqa: E402 - after the path

WIDTH = 1000
COLOURS = 128
MARGIN_PX = 12


def main(report: Path) -> None:
    """Write report.png, the page down to its first section, and chips.png, real beside synthetic chips."""
    if not json.loads((report / "report.json").read_text("utf-8"))["simulated"]:
        sys.exit(f"{report} is not on simulated data")
    command = find()
    if command is None:
        sys.exit("no Chromium found")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser(command, Path(folder, "profile")) as browser:
        browser.open(report / "report.html", WIDTH)
        browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
        whole = Path(folder, "page.png")
        browser.screenshot(whole)
        page = Image.open(whole).convert("RGB")
        first, _ = edges(browser, "how-sure")
        save(page.crop((0, 0, WIDTH, first - MARGIN_PX)), "report.png")
        top, _ = edges(browser, "chips")
        second = "document.getElementById('chips').closest('section').querySelectorAll('h3')[1]"
        bottom = int(browser.evaluate(f"{second}.getBoundingClientRect().top + window.scrollY"))
        save(page.crop((0, top, WIDTH, bottom - MARGIN_PX)), "chips.png")


def edges(browser: Browser, section: str) -> tuple[int, int]:
    """Rows of the page between which a section lies."""
    box = f"document.getElementById('{section}').closest('section').getBoundingClientRect()"
    top, bottom = (float(browser.evaluate(f"{box}.{side} + window.scrollY")) for side in ("top", "bottom"))
    return int(top), int(bottom)


def save(picture: Image.Image, name: str) -> None:
    """Write a picture with few colours, which is all that a page has."""
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
