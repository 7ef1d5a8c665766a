"""The page in a real browser: phone and desktop, light and dark. Skipped where no Chromium is installed."""

from __future__ import annotations

import base64
import re

import pytest
from fixtures import browser as browsers
from satpipe.stages.report import compare, compare_page

PHONE, DESKTOP = 390, 1280

COMMAND = browsers.find()
pytestmark = pytest.mark.skipif(COMMAND is None, reason="no Chromium is installed")

CONTRAST = """
(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let here = element; here; here = here.parentElement) {
      const colour = parse(getComputedStyle(here).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  const texts = "p, li, td, th, dt, dd, h1, h2, h3, h4, figcaption, a, span, small, svg text";
  for (const element of document.querySelectorAll(texts)) {
    if (!element.textContent.trim() || element.closest(".skip, details:not([open])")) continue;
    const style = getComputedStyle(element);
    const front = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
    if (!front.startsWith("rgb")) continue;
    const [a, b] = [light(parse(front)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst[0]) worst = [ratio, element.tagName + ": " + element.textContent.trim().slice(0, 60)];
  }
  return worst;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsers.Browser(COMMAND, tmp_path_factory.mktemp("profile")) as item:
        yield item


@pytest.fixture(scope="module")
def file(page_folder):
    return page_folder / "report.html"


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_silent_and_requests_nothing(browser, file, width, dark):
    browser.open(file, width, dark=dark)
    assert browser.console() == []
    asked = [url for url in browser.requests() if not url.startswith("data:image/")]
    assert asked == [file.resolve().as_uri()]


@pytest.mark.parametrize("width", [320, PHONE, DESKTOP])
def test_the_page_is_no_wider_than_the_screen(browser, file, width):
    browser.open(file, width)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    hidden = browser.evaluate(
        "[...document.querySelectorAll('img, svg')].filter(e => !e.getBoundingClientRect().width).length"
    )
    assert hidden == browser.evaluate(
        "document.querySelectorAll('details:not([open]) img, details:not([open]) svg').length"
    )


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_from_its_ground(browser, file, dark):
    browser.open(file, DESKTOP, dark=dark)
    ratio, where = browser.evaluate(CONTRAST)
    assert ratio >= 4.5, where


def test_dark_is_dark_and_figures_follow(browser, file):
    grounds, inks = [], []
    for dark in (False, True):
        browser.open(file, DESKTOP, dark=dark)
        grounds.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        inks.append(browser.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill"))
    assert grounds[0] == "rgb(255, 255, 255)"
    assert grounds[1] != grounds[0]
    assert inks[1] != inks[0]


def test_the_accessibility_tree_has_what_it_should(browser, file):
    browser.open(file, DESKTOP)
    nodes = browser.accessibility()
    roles = [node["role"] for node in nodes]
    headings = [node for node in nodes if node["role"] == "heading"]
    assert [node["properties"]["level"] for node in headings].count(1) == 1
    assert {"main", "navigation", "banner", "contentinfo"} <= set(roles)
    tables = [node for node in nodes if node["role"] == "table"]
    assert len(tables) >= 4
    assert all(node["name"] for node in tables)
    assert "columnheader" in roles
    assert "rowheader" in roles
    pictures = [node for node in nodes if node["role"] in ("image", "img")]
    assert len(pictures) > 10
    assert all(node["name"] for node in pictures)
    links = [node for node in nodes if node["role"] == "link"]
    assert all(node["name"] for node in links)


def test_a_comparison_is_silent_fits_phones_and_has_contrast(browser, page_folder, tmp_path):
    page = compare_page.write(compare.compare([page_folder, page_folder]), tmp_path)
    for width, dark in ((PHONE, False), (DESKTOP, True)):
        browser.open(page, width, dark=dark)
        assert browser.console() == []
        asked = [url for url in browser.requests() if not url.startswith("data:image/")]
        assert asked == [page.resolve().as_uri()]
        assert browser.evaluate("document.documentElement.scrollWidth") == width
        ratio, where = browser.evaluate(CONTRAST)
        assert ratio >= 4.5, where


def test_print_shows_the_page_on_white(browser, file):
    browser.open(file, DESKTOP, dark=True, printed=True)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    ratio, where = browser.evaluate(CONTRAST)
    assert ratio >= 4.5, where


def test_a_click_enlarges_a_chip_and_another_closes_it(browser, file):
    browser.open(file, DESKTOP)
    width = "document.querySelector('#error-1 img').getBoundingClientRect().width"
    before = browser.evaluate(width)
    browser.evaluate("document.querySelector('#error-1 a').click()")
    assert browser.evaluate(width) > 3 * before
    browser.evaluate("document.querySelector('#error-1 .close').click()")
    assert browser.evaluate(width) == before


def test_print_takes_eight_pages_at_most(browser, file):
    browser.open(file, DESKTOP, printed=True)
    data = browser.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)["data"]
    pages = len(re.findall(rb"/Type\s*/Page[^s]", base64.b64decode(data)))
    assert 2 <= pages <= 8
