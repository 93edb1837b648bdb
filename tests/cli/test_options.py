"""Options that the command line reads itself."""

from __future__ import annotations

import pytest

from lorafit.cli.options import parse_size
from lorafit.errors import RecipeError


@pytest.mark.parametrize(("text", "size"), [("5GB", 5 * 10**9), ("1.5 MiB", 1_572_864), ("700", 700)])
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "0", "-1GB", "5 parsecs"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(RecipeError, match="--max-shard-size"):
        parse_size(text)
