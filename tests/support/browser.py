"""Pages as a browser shows them: headless Chromium by Playwright, where both are there."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["View", "views"]


@dataclass(frozen=True)
class View:
    """A page at one width (pixels) in one scheme (``light`` or ``dark``), and what its console said."""

    page: Any
    width: int
    scheme: str
    said: list[str]

    def check(self) -> None:
        """Hold it to what every page keeps: no word in the console, no sideways scroll, its scheme's background."""
        assert self.said == []
        assert self.page.evaluate("document.documentElement.scrollWidth") == self.width
        assert self.page.evaluate(
            "[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)"
        )
        back = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == ("rgb(255, 255, 255)" if self.scheme == "light" else "rgb(20, 24, 29)")


def views(path: Path) -> Iterator[View]:
    """The page of a file on a telephone and on a desk, light and dark."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright to drive a browser with")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for width in (390, 1280):
            for scheme in ("light", "dark"):
                said: list[str] = []
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page.on("console", lambda message, said=said: said.append(message.text))
                page.on("pageerror", lambda error, said=said: said.append(str(error)))
                page.goto(path.as_uri())
                yield View(page, width, scheme, said)
        browser.close()
