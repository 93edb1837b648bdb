"""Examples are the same however they come to be: in one block or in several, in memory, stored, or found again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from lorafit import cache
from lorafit.data.encoding.labelled import EncodedText
from lorafit.data.encoding.sequences import EncodedSequence
from lorafit.data.stored import StoredRows
from lorafit.errors import DataError
from lorafit.models import load_tokenizer
from lorafit.objectives import AnyObjective, Encoded, Settings, encoder, facts_at_hand, objective_for
from lorafit.objectives.order import Ordering
from lorafit.recipe import DataSection, DecodeSection, EvalSection, TrainSection
from lorafit.tasks import TASKS, Rows, load_rows, make_task
from tests.support.rows import save_rows
from tests.support.tiny_encoders import save_encoder

WORDS = [
    "Alimentum",
    "serves",
    "Italian",
    "food",
    "in",
    "the",
    "city",
    "centre",
    "near",
    "riverside",
    "place",
]


def text(i: int) -> str:
    return " ".join(WORDS[j % len(WORDS)] for j in range(i, i + 2 + i * 5 % 13))


RAW: dict[str, Callable[[int], dict[str, Any]]] = {
    "classification": lambda i: {"text": text(i), "label": "abc"[i % 3]},
    "multilabel": lambda i: {"text": text(i), "label": ["a", "b"][: i % 3]},
    "regression": lambda i: {"text": text(i), "label": i / 7},
    "generation": lambda i: {"prompt": text(i // 2), "completion": text(i + 1)},
    "chat": lambda i: {
        "messages": [
            {"role": role, "content": text(i + j)}
            for j, role in enumerate(("user", "assistant") * (1 + i % 2))
        ]
    },
    "text": lambda i: {"text": "Alimentum" if i == 3 else text(i)},
}
OPTIONS: dict[str, dict[str, Any]] = {"chat": {"template": "chatml"}}
KINDS = list(TASKS)


@pytest.fixture(scope="module")
def bases(make_base: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    label_base = save_encoder(tmp_path_factory.mktemp("bert"), "bert")
    return {kind: make_base("gpt2") if TASKS[kind].output == "text" else label_base for kind in KINDS}


def read(kind: str, path: Path, *, stored: bool, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """The rows of a file, in memory or in the cache."""
    monkeypatch.setattr("lorafit.data.stored.FEW_ROWS", 0 if stored else 1_000)
    rows = load_rows(make_task(kind, **OPTIONS.get(kind, {})), DataSection(train=str(path), max_length=8))
    assert isinstance(rows.rows("train"), StoredRows) == stored
    return rows


def made(rows: Rows, base: Path) -> tuple[AnyObjective, PreTrainedTokenizerBase]:
    settings = Settings(rows.data, DecodeSection(max_new_tokens=8), EvalSection())
    objective = objective_for(rows.task, facts_at_hand(rows.task, str(base)), settings)
    return objective, load_tokenizer(str(base))


def content(encoded: Encoded[Any]) -> list[Any]:
    numbers = (encoded.lengths, encoded.cut, encoded.without_target, encoded.by_row)
    return [[*encoded.examples], *map(list, numbers), encoded.limit, encoded.faults, encoded.notes]


@pytest.fixture
def path(tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: save_rows(tmp_path / f"{kind}.jsonl", [RAW[kind](i) for i in range(30)])


def test_every_task_is_tried() -> None:
    assert RAW.keys() == TASKS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_stored_rows_and_examples_are_those_in_memory(
    kind: str, bases: dict[str, Path], path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = read(kind, path(kind), stored=False, monkeypatch=monkeypatch)
    stored = read(kind, path(kind), stored=True, monkeypatch=monkeypatch)
    assert [*stored.rows("train")] == plain.rows("train")
    assert stored.sizes("train") == plain.sizes("train")
    assert stored.rows("train")[-2:] == plain.rows("train")[-2:]
    objective, tokenizer = made(plain, bases[kind])
    whole = objective.encoder(tokenizer).encode(plain.rows("train"))
    assert whole.cut or objective.splits_rows
    monkeypatch.setattr(encoder, "BLOCK_ROWS", 7)
    in_blocks = objective.encoder(tokenizer).encode(plain.rows("train"))
    written = objective.encoder(tokenizer).encode(stored.rows("train"))
    monkeypatch.setattr(type(objective.encoder(tokenizer)), "block", None)  # nothing is tokenized any more
    again = read(kind, path(kind), stored=True, monkeypatch=monkeypatch)
    found = objective.encoder(load_tokenizer(str(bases[kind]))).encode(again.rows("train"))
    for other in (in_blocks, written, found):
        assert content(other) == content(whole)
        assert [other.examples[i] for i in (0, -1, 3)] == [whole.examples[i] for i in (0, -1, 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_knows_lengths_without_examples(
    kind: str, bases: dict[str, Path], path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read(kind, path(kind), stored=False, monkeypatch=monkeypatch)
    objective, tokenizer = made(rows, bases[kind])
    encoded = objective.encoder(tokenizer).encode(rows.rows("train"))
    section = TrainSection(batch_size=None, batch_tokens=64, epochs=1, learning_rate=1e-3)
    order = Ordering(section, rows.data, rows, objective).of(encoded)
    assert [*order.lengths] == [len(objective.inputs(example)) for example in encoded.examples]
    assert order.mix.sizes == (len(encoded.examples),)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_by_another_key(
    kind: str, bases: dict[str, Path], path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field of an encoder that decides its ids is in the key, and so are rows, tokenizer and program."""
    read_rows = read(kind, path(kind), stored=True, monkeypatch=monkeypatch)
    rows = read_rows.rows("train")
    assert isinstance(rows, StoredRows)
    objective, tokenizer = made(read_rows, bases[kind])
    first: Any = objective.encoder(tokenizer)
    keys = [key_of(first, rows)]
    assert key_of(objective.encoder(load_tokenizer(str(bases[kind]))), rows) == keys[0]
    for other in changed(first):
        keys.append(key_of(other, rows))
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens(["Zizzi"])
    keys.append(key_of(replace(first, tokenizer=larger), rows))
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "source_hash", lambda *_: "another program")
        keys.append(key_of(first, rows))
        patch.undo()
    with monkeypatch.context() as patch:
        patch.setattr("tokenizers.__version__", "0.0")
        keys.append(key_of(first, rows))
    assert len(set(keys)) == len(keys)


def key_of(encoder_: Any, rows: StoredRows[Any]) -> str:
    key = encoder_._key(rows)
    assert key is not None
    return str(key.name)


def changed(first: Any) -> list[Any]:
    """The encoder with each of its settings changed, one at a time; those of its format too."""
    others = []
    for field in fields(first):
        value = getattr(first, field.name)
        match field.name:
            case "limit":
                others.append(replace(first, limit=replace(value, num_tokens=value.num_tokens + 1)))
            case "vocabulary":
                others.append(replace(first, vocabulary=replace(value, num_rows=value.num_rows + 1)))
            case "tokenizer":
                pass
            case "form":
                others += [replace(first, form=form) for form in formats(value)]
            case _:
                others.append(replace(first, **{field.name: value + 1}))
    return others


def formats(form: Any) -> list[Any]:
    values: dict[type, Any] = {tuple: (5, 6), str: "other", int: 7}
    named = {"train_on": "last", "source": "{{ messages }}"}
    return [
        replace(form, **{field.name: named.get(field.name, values.get(type(getattr(form, field.name))))})
        for field in fields(form)
        if field.name != "tokenizer"
    ]


def test_another_file_other_options_and_another_split_are_other_rows(
    path: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lorafit.data.stored.FEW_ROWS", 0)
    file = path("generation")
    keys = []
    for task, data in (
        (make_task("generation"), DataSection(train=str(file))),
        (make_task("generation"), DataSection(train=str(file), valid=0.4)),
        (make_task("generation"), DataSection(train=str(file), valid=0.4, seed=1)),
        (make_task("generation"), DataSection(train=str(file), rename={"x": "prompt"})),
        (make_task("generation"), DataSection(train=str(file), on_bad_row="skip")),
        (make_task("generation", prompt="say {prompt}"), DataSection(train=str(file))),
        (
            make_task("generation"),
            DataSection(train=str(save_rows(tmp_path / "b.jsonl", [RAW["generation"](0)]))),
        ),
    ):
        for split in load_rows(task, data).splits:
            rows = load_rows(task, data).rows(split)
            assert isinstance(rows, StoredRows)
            keys.append(rows.key.name)
    assert len(set(keys)) == len(keys) == 9
    same = load_rows(make_task("generation"), DataSection(train=str(file), max_length=99)).rows("train")
    assert isinstance(same, StoredRows)
    assert same.key.name == keys[0]


def test_that_nothing_can_be_kept_is_said(
    path: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LORAFIT_CACHE", str(tmp_path / "file"))
    rows = read("generation", path("generation"), stored=True, monkeypatch=monkeypatch)
    [note] = rows.notes
    assert note.startswith("rows and token ids are not kept for the next run: ")
    assert len([*rows.rows("train")]) == 30
    monkeypatch.setenv("LORAFIT_CACHE_GB", "0")
    assert read("generation", path("generation"), stored=True, monkeypatch=monkeypatch).notes == []


def test_a_file_that_changes_while_it_is_read_is_no_entry(
    path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lorafit.data.stored.FEW_ROWS", 0)
    file = path("generation")
    rows = load_rows(make_task("generation"), DataSection(train=str(file)))
    parse = type(rows.task).parse

    def parse_and_write(task: Any, row: Any, split: Any) -> Any:
        if row.line == 9:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(RAW["generation"](99)) + "\n")
        return parse(task, row, split)

    before = len(cache.entries())
    with monkeypatch.context() as patch:
        patch.setattr(type(rows.task), "parse", parse_and_write)
        with pytest.raises(DataError, match="changed while it was read"):
            rows.rows("train")
    assert len(cache.entries()) == before
    assert len(rows.rows("train")) == 31


@pytest.mark.parametrize("value", [(), (False,), (True,), (False, True, True, False, True), (True, False)])
def test_what_is_learned_comes_back(value: tuple[bool, ...]) -> None:
    example = EncodedSequence(tuple(range(len(value))), value)
    assert EncodedSequence.of_columns(example.columns()) == example


@pytest.mark.parametrize("label", [None, 0, 3, -2.5, 3.0, 1e300, (0, 1, 1), ()])
@pytest.mark.parametrize("types", [None, (0, 0, 1), (0, 0, 0)])
def test_a_label_comes_back(label: Any, types: Sequence[int] | None) -> None:
    example = EncodedText((1, 2, 3), None if types is None else tuple(types), label)
    back = EncodedText.of_columns(example.columns())
    assert back == example
    assert type(back.label) is type(label)
