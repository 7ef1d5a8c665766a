"""Hook of mkdocs: the theme's offline plugin loads a script from elsewhere, for which this site has its own."""

from __future__ import annotations

from typing import Any

from mkdocs.utils import get_relative_url

ELSEWHERE = "https://unpkg.com/iframe-worker/shim"
OWN = "javascripts/file-worker.js"


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """Return a page with the site's own script."""
    return output.replace(ELSEWHERE, get_relative_url(OWN, page.url))


def on_post_template(output_content: str, *, template_name: str, config: Any) -> str:
    """Return the page for what is not found with the site's own script."""
    return output_content.replace(ELSEWHERE, f"/{OWN}") if template_name == "404.html" else output_content
