"""ROUGE-L and CIDEr are pycocoevalcap's on the same tokens, and known figures."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from lorafit.metrics import METRICS
from lorafit.metrics.text.ptb import ptb_tokens

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "the", "cat", ",", "."]), max_size=12).map(" ".join)
CORPORA = st.lists(
    st.tuples(TEXTS, st.lists(TEXTS.filter(bool), min_size=1, max_size=3)), min_size=2, max_size=5
)
ORIGINALS = {"rouge_l": Rouge, "cider": Cider}


def original(name: str, predictions: list[str], references: list[list[str]]) -> float:
    results = {i: [" ".join(ptb_tokens(text))] for i, text in enumerate(predictions)}
    targets = {
        i: [" ".join(ptb_tokens(text)) for text in group if text] for i, group in enumerate(references)
    }
    return float(ORIGINALS[name]().compute_score(targets, results)[0])


@pytest.mark.parametrize("name", ORIGINALS)
def test_sentences(name: str, predictions: list[str], references: list[list[str]]) -> None:
    [score] = METRICS[name].compute(predictions, references)
    assert score.value == pytest.approx(original(name, predictions, references), abs=1e-12)


@pytest.mark.parametrize("name", ORIGINALS)
@settings(max_examples=60, deadline=None)
@given(corpus=CORPORA)
def test_any_corpus(name: str, corpus: list[tuple[str, list[str]]]) -> None:
    predictions, references = [text for text, _ in corpus], [group for _, group in corpus]
    if any(
        any(ptb_tokens(text) for text in group) for group in references
    ):  # the original fails without any n-gram
        [score] = METRICS[name].compute(predictions, references)
        assert score.value == pytest.approx(original(name, predictions, references), abs=1e-12)


def test_rouge_l_takes_precision_and_recall_from_different_references() -> None:
    # against "a b": P 2/4, R 2/2; against "a b c d e f g h": P 4/4, R 4/8. Both best: 1.
    [score] = METRICS["rouge_l"].compute(["a b c d"], [["a b", "a b c d e f g h"]])
    assert score.value == pytest.approx(1.0)


def test_cider_of_one_segment_is_zero_and_of_distinct_perfect_ones_is_ten() -> None:
    assert METRICS["cider"].compute(["a b c d e"], [["a b c d e"]])[0].value == 0
    texts = ["a b c d e", "v w x y z"]
    assert METRICS["cider"].compute(texts, [[text] for text in texts])[0].value == pytest.approx(10.0)


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_signature_names_the_tokeniser(name: str) -> None:
    assert "tok:ptb-py" in METRICS[name].compute(["a"], [["a"]])[0].signature
