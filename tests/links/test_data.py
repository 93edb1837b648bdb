"""Raw rows become the texts, token ids and targets that the original code made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Tokenizer, PreTrainedTokenizerBase

from lorafit.data import TextRow
from lorafit.data.batches import pack
from lorafit.data.encoding.encode import EncodedPair, encode_pairs
from tests.support.rows import read_texts, rows_of

# The first two rows of each validation file, in the files' own form.
E2E = "".join(
    f"name : Alimentum | area : city centre | family friendly : no||{text} \n"
    for text in (
        "There is a place in the city centre , Alimentum , that is not family - friendly .",
        "In the city centre there is a venue name Alimentum , this is not a family - friendly venue .",
    )
)


def _webnlg(number: str, triple: tuple[str, str, str], *texts: tuple[str, str]) -> dict[str, Any]:
    keys = ("subject", "property", "object")
    return {
        number: {
            "category": "Airport",
            "modifiedtripleset": [dict(zip(keys, triple, strict=True))],
            "lexicalisations": [{"comment": comment, "lang": "", "lex": text} for comment, text in texts],
        }
    }


WEBNLG = {
    "entries": [
        _webnlg(
            "1",
            ("Aarhus", "leaderName", "Jacob_Bundsgaard"),
            ("good", "The leader of Aarhus is Jacob Bundsgaard."),
            ("toFix", "Aarhus leader Jacob."),
        ),
        _webnlg(
            "2",
            ("Aarhus_Airport", "runwayLength", "2702.0"),
            ("good", "Aarhus Airport's runway length is 2702.0."),
        ),
    ]
}
DART = [
    {
        "tripleset": [
            ["Mars Hill College", "JOINED", "1973"],
            ["Mars Hill College", "LOCATION", "Mars Hill, North Carolina"],
        ],
        "annotations": [{"source": "", "text": "A school from Mars Hill, North Carolina, joined in 1973."}],
    },
    {
        "tripleset": [["Newberry College", "NICKNAME", "Wolves"]],
        "annotations": [{"source": "", "text": "Newberry College's nickname is the wolves."}],
    },
]
RAW = {"e2e": E2E, "webnlg": json.dumps(WEBNLG), "dart": json.dumps(DART)}


def read(folder: Path, task: str, raw: str) -> list[TextRow]:
    path = folder / "valid"
    path.write_text(raw)
    return read_texts(task, path, "valid")


@pytest.mark.parametrize("task", RAW)
def test_rows_become_the_original_texts_and_ids(
    task: str, tmp_path: Path, digests: dict[str, Any], gpt2_tokenizer: GPT2Tokenizer
) -> None:
    pairs = read(tmp_path, task, RAW[task])
    wanted = digests[task]["first_rows"]
    assert [(p.prompt, p.completion) for p in pairs] == [
        (row["context_text"], row["completion_text"]) for row in wanted
    ]
    assert encode_pairs(gpt2_tokenizer, pairs) == [
        EncodedPair(tuple(row["context"]), tuple(row["completion"])) for row in wanted
    ]


def test_a_file_of_160_rows(
    tmp_path: Path, encoded_rows: list[dict[str, list[int]]], gpt2_tokenizer: GPT2Tokenizer
) -> None:
    lines = [
        f"{gpt2_tokenizer.decode(row['context'][:-1])}||{gpt2_tokenizer.decode(row['completion'][:-1])} \n"
        for row in encoded_rows
    ]
    pairs = read(tmp_path, "e2e", "".join(lines))
    assert encode_pairs(gpt2_tokenizer, pairs) == [
        EncodedPair(tuple(row["context"]), tuple(row["completion"])) for row in encoded_rows
    ]


@pytest.mark.parametrize("max_length", [512, 40])
def test_targets_are_the_originals(encoded_rows: list[dict[str, list[int]]], max_length: int) -> None:
    """data_utils.py: ids cut at `max_length`; inputs all but the last, targets all but the first; the mask is 0 on the
    first len(context) - 1 of them, and 1 on the rest."""
    for row in encoded_rows:
        ids = (row["context"] + row["completion"])[:max_length]
        first = len(row["context"]) - 1
        mask = ([0] * first + [1] * len(row["completion"]))[: len(ids) - 1]
        example = EncodedPair(tuple(row["context"]), tuple(row["completion"]))
        assert example.inputs(max_length) == ids[:-1]
        assert example.target_mask(max_length) == [bool(m) for m in mask]
        batch = pack([example], max_length)
        assert batch.input_ids.tolist() == [ids[:-1]]
        assert batch.target_places.tolist() == [i for i, m in enumerate(mask) if m]
        assert batch.targets.tolist() == [token for token, m in zip(ids[1:], mask, strict=True) if m]


def digest(encoded: Sequence[EncodedPair]) -> str:
    rows = ([list(row.prompt_ids), list(row.completion_ids)] for row in encoded)
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("task", RAW)
def test_whole_validation_files(task: str, digests: dict[str, Any], shared: Path) -> None:
    tokenizer: PreTrainedTokenizerBase = GPT2Tokenizer.from_pretrained(shared / "data" / "gpt2-tokenizer")
    rows = rows_of(task, dir=str(shared / "data" / task)).rows("valid")
    encoded = encode_pairs(tokenizer, [row for row in rows if isinstance(row, TextRow)])
    assert len(encoded) == digests[task]["rows"]
    assert sum(len(e.prompt_ids) + len(e.completion_ids) for e in encoded) == digests[task]["tokens"]
    assert digest(encoded) == digests[task]["sha256_of_lines"]
