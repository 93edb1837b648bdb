"""docs/errors.md is what the code says; tests/messages tries each message."""

from __future__ import annotations

from list_errors import CLASSES, page

from tests.conftest import ROOT
from tests.messages.told import catalogue


def test_the_page_is_current() -> None:
    told = "run `python scripts/list_errors.py > docs/errors.md`"
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == page(catalogue()), told


def test_every_class_that_is_raised_is_in_it() -> None:
    raised = {message.error for message in catalogue()} - {"ValueError"}
    bases = {kind.__base__.__name__ for kind in CLASSES.values() if kind.__base__}
    assert raised | bases >= CLASSES.keys() - {"WrongScaleError"}, "a class that nobody raises"
