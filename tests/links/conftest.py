"""The chain from data to scores, link by link, against the original code's results.

1. data      test_data.py
2. training  tests/training/test_paper_step.py
3. decoding  tests/decoding/test_paper.py
4. scoring   test_scoring.py, tests/metrics/text/test_meteor.py; published outputs: tests/metrics/test_samples.py,
             test_acceptance.py
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from transformers import GPT2Tokenizer

from tests.support.paper_reference import PAPER_DIR


@pytest.fixture(scope="session")
def gpt2_tokenizer() -> GPT2Tokenizer:
    """GPT-2's tokenizer with the part of its vocabulary and merges that the rows in `tests/assets/paper` need."""
    return GPT2Tokenizer.from_pretrained(PAPER_DIR / "gpt2_slice")


@pytest.fixture(scope="session")
def digests() -> dict[str, Any]:
    """What the original code made of the raw files: rows, tokens, sha256, and the first two rows."""
    return dict(json.loads((PAPER_DIR / "encoded_digests.json").read_text()))


@pytest.fixture(scope="session")
def encoded_rows() -> list[dict[str, list[int]]]:
    """The first 160 rows of E2E's valid.txt as the original code encoded them."""
    return [json.loads(line) for line in (PAPER_DIR / "encoded.jsonl").read_text().splitlines()]
