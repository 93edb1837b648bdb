"""The paper's scores, against its scorers: their own code where it is a library, else written down here step by step.

METEOR is in tests/metrics/text/test_meteor.py. The texts are the E2E rows in `tests/assets/paper`: of each context the
first text is the prediction, the others are references.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, product

import pytest
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from transformers import GPT2Tokenizer

from lorafit.metrics.scorers import find_scorer
from lorafit.metrics.scoring import score_texts
from lorafit.metrics.text.ptb import ptb_tokens

Corpus = tuple[list[str], list[list[str]]]  # predictions, groups of references


def text_of(tokenizer: GPT2Tokenizer, ids: list[int]) -> str:
    text = tokenizer.decode(ids)
    assert isinstance(text, str)
    return text.strip()


@pytest.fixture(scope="module")
def corpus(encoded_rows: list[dict[str, list[int]]], gpt2_tokenizer: GPT2Tokenizer) -> Corpus:
    groups = [
        [text_of(gpt2_tokenizer, row["completion"][:-1]) for row in rows]
        for _, rows in groupby(encoded_rows, key=lambda row: row["context"])
    ]
    groups = [group for group in groups if len(group) > 1]
    assert len(groups) >= 10
    return [group[0] for group in groups], [group[1:] for group in groups]


def test_e2e(corpus: Corpus) -> None:
    """tuetschek/e2e-metrics: measure_scores.py -p."""
    predictions, references = corpus
    names = ["bleu", "nist", "rouge_l", "cider"]
    scores = score_texts(find_scorer("e2e", "paper"), predictions, references, metrics=names)
    results = {i: [" ".join(ptb_tokens(text))] for i, text in enumerate(predictions)}
    targets = {i: [" ".join(ptb_tokens(text)) for text in group] for i, group in enumerate(references)}
    wanted = {
        "bleu": 100 * _pymteval_bleu(predictions, references),
        "nist": _pymteval_nist(predictions, references),
        "rouge_l": Rouge().compute_score(targets, results)[0],
        "cider": Cider().compute_score(targets, results)[0],
    }
    assert {name: scores.all[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("task", ["webnlg", "dart"])
def test_webnlg_and_dart(corpus: Corpus, task: str) -> None:
    """gpt2_decode.py --ref_num 6 --tokenize --lower, then WebNLG/GenerationEval eval.py -nr 6."""
    predictions, references = corpus
    assert max(map(len, references)) > 6 > min(map(len, references))
    splits = ["seen" if i % 3 else "unseen" for i in range(len(predictions))] if task == "webnlg" else None
    scores = score_texts(
        find_scorer(task, "paper"), predictions, references, metrics=["bleu", "ter"], splits=splits
    )
    hypotheses = [_gpt2_decode(text) for text in predictions]
    groups = [[_gpt2_decode(text) for text in [*group, *[group[0]] * 6][:6]] for group in references]
    for part, figures in scores.parts.items():
        chosen = [i for i in range(len(predictions)) if part == "all" or (splits and splits[i] == part)]
        bleu = _multi_bleu(
            [hypotheses[i].split() for i in chosen], [[r.split() for r in groups[i]] for i in chosen]
        )
        rates = [min(_pyter(hypotheses[i].split(), r.split()) for r in groups[i]) for i in chosen]
        assert figures["bleu"] == pytest.approx(bleu, rel=1e-9), part
        assert figures["ter"] == pytest.approx(sum(rates) / len(rates), rel=1e-12), part


# --- e2e-metrics: metrics/pymteval.py, a port of mteval-v13a.pl ---


def _mteval_tokens(text: str) -> list[str]:
    text = f" {text.lower()} "
    text = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", text)  # punctuation but ' , - .
    text = re.sub(r"([^0-9])([\.,])", r"\1 \2 ", text)  # full stop and comma, unless behind a digit
    text = re.sub(r"([\.,])([^0-9])", r" \1 \2", text)  # unless before a digit
    text = re.sub(r"([0-9])(-)", r"\1 \2 ", text)  # dash behind a digit
    return text.split()


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def _best_counts(references: Sequence[Sequence[str]], n: int) -> Counter[tuple[str, ...]]:
    best: Counter[tuple[str, ...]] = Counter()
    for tokens in references:
        best |= _ngrams(tokens, n)
    return best


def _corpus_bleu(hypotheses: Sequence[Sequence[str]], groups: Sequence[Sequence[Sequence[str]]]) -> float:
    """BLEU-4 without smoothing; the closest reference length, the shorter one where two are equally close."""
    hits, tried, length = [0] * 4, [0] * 4, 0
    for hypothesis, group in zip(hypotheses, groups, strict=True):
        for n in range(1, 5):
            counts = _ngrams(hypothesis, n)
            hits[n - 1] += (counts & _best_counts(group, n)).total()
            tried[n - 1] += counts.total()
        length += min((abs(len(r) - len(hypothesis)), len(r)) for r in group)[1]
    precision = math.exp(sum(math.log(h / t) for h, t in zip(hits, tried, strict=True)) / 4)
    return min(1.0, math.exp(1 - length / tried[0])) * precision


def _pymteval_bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    return _corpus_bleu(
        [_mteval_tokens(p) for p in predictions], [[*map(_mteval_tokens, g)] for g in references]
    )


def _pymteval_nist(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """NIST-5; the length to reach is the sum of the segments' mean reference lengths."""
    groups = [[_mteval_tokens(text) for text in group] for group in references]
    hypotheses = [_mteval_tokens(text) for text in predictions]
    counts: Counter[tuple[str, ...]] = Counter()
    for tokens, n in product((tokens for group in groups for tokens in group), range(1, 6)):
        counts += _ngrams(tokens, n)
    counts[()] = sum(len(tokens) for group in groups for tokens in group)
    score = 0.0
    for n in range(1, 6):
        gained, tried = 0.0, 0
        for hypothesis, group in zip(hypotheses, groups, strict=True):
            hits = _ngrams(hypothesis, n) & _best_counts(group, n)
            gained += sum(hit * math.log2(counts[ngram[:-1]] / counts[ngram]) for ngram, hit in hits.items())
            tried += max(0, len(hypothesis) - n + 1)
        score += gained / tried
    ratio = sum(map(len, hypotheses)) / sum(sum(map(len, group)) / len(group) for group in groups)
    beta = -math.log(0.5) / math.log(1.5) ** 2
    return score * math.exp(-beta * math.log(min(ratio, 1.0)) ** 2)


# --- gpt2_decode.py of the paper; multi-bleu-detok.perl and pyter 0.3 in GenerationEval ---


def _gpt2_decode(text: str) -> str:
    return " ".join(" ".join(re.split(r"(\W)", text.lower())).split())


def _multi_bleu(hypotheses: Sequence[Sequence[str]], groups: Sequence[Sequence[Sequence[str]]]) -> float:
    """On such text the scripts' own tokeniser has nothing left to do."""
    return 100 * _corpus_bleu(hypotheses, groups)


def _pyter(words: list[str], reference: list[str]) -> float:
    num_shifts = 0
    while True:
        before = _levenshtein(words, reference)
        shifted = [(before - _levenshtein(moved, reference), moved) for moved in _shifts(words, reference)]
        gain, moved = max(shifted, default=(0, words))
        if gain <= 0:
            return (num_shifts + before) / len(reference)
        num_shifts, words = num_shifts + 1, moved


def _shifts(words: list[str], reference: list[str]) -> Iterator[list[str]]:
    for start, place in product(range(len(words)), range(len(reference))):
        if start == place or words[start] != reference[place]:
            continue
        length = 0
        while words[start : start + length + 1] == reference[place : place + length + 1] and length < min(
            len(words) - start, len(reference) - place
        ):
            length += 1
        rest = words[:start] + words[start + length :]
        yield rest[:place] + words[start : start + length] + rest[place:]


def _levenshtein(a: Sequence[str], b: Sequence[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]
