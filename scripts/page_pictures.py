"""Pictures of pages for the documents: at two widths, in both themes. Needs Chromium and playwright.

python scripts/page_pictures.py run=runs/quickstart/seed-1/report.html sweep=compared.html
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
WIDTHS = {1440: 1240, 375: 812}  # -> height
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main(pages: dict[str, Path]) -> None:
    """Write <name>-<width>-<theme>.png of every page."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, path in pages.items():
            for width, height in WIDTHS.items():
                for theme in THEMES:
                    context = browser.new_context(
                        viewport={"width": width, "height": height}, color_scheme=theme, offline=True
                    )
                    page = context.new_page()
                    page.goto(path.resolve().as_uri())
                    page.screenshot(path=IMAGES / f"{name}-{width}-{theme}.png")
                    context.close()


if __name__ == "__main__":
    main({name: Path(path) for name, _, path in (each.partition("=") for each in sys.argv[1:])})
