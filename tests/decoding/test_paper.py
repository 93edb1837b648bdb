"""Our beam search gives the very tokens that the paper's code gave."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2LMHeadModel

from lorafit.decoding import BeamSearch, generate_all, session

PAPER_DIR = Path(__file__).parents[1] / "assets" / "paper"


def cases_by_search(name: str) -> dict[BeamSearch, list[dict[str, Any]]]:
    groups = defaultdict(list)
    for case in json.loads((PAPER_DIR / name).read_text()):
        search = BeamSearch(
            num_beams=case.get("beams", 10),
            length_penalty=case["length_penalty"],
            max_new_tokens=case.get("max_new", 64),
            eos_token_ids=tuple(case.get("eos", (50256, 628))),
        )
        groups[search].append(case)
    return groups


def check(net: GPT2LMHeadModel, name: str, batch_size: int, num_cases: int | None = None) -> None:
    for search, cases in cases_by_search(name).items():
        cases = cases[:num_cases]
        outputs = generate_all(net, [case["query"] for case in cases], search, batch_size=batch_size)
        padded = [ids + [0] * (search.max_new_tokens - len(ids)) for ids in outputs]
        assert padded == [case["predict"] for case in cases]


def test_all_queries_in_batches_of_sixteen(paper_net: GPT2LMHeadModel) -> None:
    check(paper_net, "beam.json", 16)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_batch_size_changes_no_token(paper_net: GPT2LMHeadModel, batch_size: int) -> None:
    check(paper_net, "beam.json", batch_size, num_cases=3)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_hypotheses_that_end_early(paper_net: GPT2LMHeadModel, batch_size: int) -> None:
    check(paper_net, "beam_eos.json", batch_size)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_a_row_per_beam(paper_net: GPT2LMHeadModel, batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "beams_can_share_a_row", lambda _: False)
    check(paper_net, "beam_eos.json", batch_size)
