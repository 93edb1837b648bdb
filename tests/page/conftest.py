"""Debian's Chromium, without a network; and run folders to draw."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import recipe_overrides
from tests.support.adapter_fixtures import run_here

REQUIRED = "LORAFIT_BROWSER_TESTS"
"""Where this is "require", as in .ci/run, a browser that is missing is a failure."""
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)

Theme = Literal["light", "dark"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        if os.environ.get(REQUIRED) == "require":
            pytest.fail("Chromium is not installed, and these tests are required")
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(_QUIET))
        yield started
        started.close()


@dataclass
class Opened:
    """A page in the browser, and what it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def js(self, code: str, argument: object = None) -> Any:
        """The value of an expression, or of a function of the argument."""
        return self.page.evaluate(code, argument)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """A function that opens a file at a width, in a theme."""
    contexts = []

    def open_page(path: Path, width: int = 1440, theme: Theme = "light", script: bool = True) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            offline=True,
            bypass_csp=True,  # of the tests' own script, axe-core
            java_script_enabled=script,
        )
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.goto(path.as_uri())
        return found

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def trained(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on texts: eight steps, three predictions."""
    folder = tmp_path_factory.mktemp("page") / "run"
    options = recipe_overrides(gpt2_base, e2e_dir, train__epochs=2, eval__metrics=["bleu"])
    with pytest.MonkeyPatch.context() as patch:
        done = run_here(patch, ["train", "e2e_gpt2m", *options, "--output", folder])
    assert done.code == 0, done.err
    assert f"page:       {folder / 'report.html'}" in done.out
    return folder
