"""What does not fit the base is said before training and decoding, and refused where it would be a silent fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import lorafit
from lorafit.errors import DataError
from lorafit.objectives import Encoded, Limit
from tests.support.tiny_encoders import save_encoder

ROW = ("training row", "training rows")
PAIR = ("loses a whole text", "lose a whole text")


@pytest.mark.parametrize(
    ("lengths", "cut", "lost", "limit", "said"),
    [
        (
            [512, *[130] * 4, *[9] * 9],
            range(5),
            range(2),
            Limit(128),
            "2 of 14 training rows have no target within 128 tokens; 5 are cut; the longest has 512",
        ),
        (
            [9, 40],
            [1],
            [1],
            Limit(20),
            "1 of 2 training rows has no target within 20 tokens; 1 is cut; the longest has 40",
        ),
        ([2000], [0], [], Limit(1500), "1 of 1 training row is cut to 1,500 tokens; the longest has 2,000"),
        (
            [9] * 1999 + [70],
            [1999],
            [],
            Limit.of(512, 64, PAIR),
            "1 of 2,000 training rows is cut to 64 tokens (the base has no more positions); the longest has 70",
        ),
        (
            [9, 9],
            [0, 1],
            [0, 1],
            Limit.of(5, None, PAIR),
            "2 of 2 training rows lose a whole text within 5 tokens; 2 are cut; the longest has 9",
        ),
        ([3], [0], [], Limit(1), "1 of 1 training row is cut to 1 token; the longest has 3"),
        ([3], [], [], Limit(3), None),
    ],
)
def test_rows_that_are_cut_are_said(
    lengths: list[int], cut: range, lost: range, limit: Limit, said: str | None
) -> None:
    assert Encoded(lengths, lengths, limit, list(cut), list(lost)).note(ROW) == said


def rows(path: Path, prompts: list[int], word: str = "food") -> Path:
    """Prompts of so many words, each with a short completion."""
    lines = [json.dumps({"prompt": " ".join([word] * n), "completion": "nice food"}) for n in prompts]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def overrides(base: Path, **keys: Any) -> list[str]:
    values = {"model.base": base, "train.max_steps": 1, "decode.num_beams": 1, "decode.max_new_tokens": 4}
    values |= {name.replace("__", "."): value for name, value in keys.items()}
    values.setdefault("data.valid", values["data.train"])
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def test_training_says_what_is_cut_and_refuses_what_is_lost(
    cli: Callable[..., Any], gpt2_base: Path, tmp_path: Path
) -> None:
    file = rows(tmp_path / "a.jsonl", [3, 3, 90, 3, 3, 3, 3, 3, 90])
    test = rows(tmp_path / "test.jsonl", [3, 140, 150])
    valid = rows(tmp_path / "valid.jsonl", [100])
    options = overrides(gpt2_base, data__train=file, data__test=test, data__valid=valid, data__max_length=80)
    command = ("train", "own_generation", *options, "--output", tmp_path / "run")
    lost = "2 of 9 training rows have no target within 80 tokens; 2 are cut; the longest has "
    for refused in (command, (*command, "--dry-run")):
        error = cli(*refused, code=3).stderr
        assert error.startswith(f"error: [data] max_length: {lost}")
        assert "; use --set data.max_length=… (higher), or use --set data.on_long_row=cut" in error
    assert not (tmp_path / "run").exists()
    cut = (*command, "--set", "data.on_long_row=cut")
    dry, done = cli(*cut, "--dry-run").stdout, cli(*cut).stdout
    for said in (dry, done):
        assert lost in said
        assert "1 of 1 validation row has no target within 80 tokens; 1 is cut; the longest has" in said
        assert "2 of 3 test contexts lose their beginning to fit into 124 tokens before 4 new ones" in said
    adapter = tmp_path / "run" / "adapter"
    assert "2 of 3 test contexts lose their beginning" in cli("eval", adapter).stdout
    predicted = cli("predict", adapter, "food " * 150, "food", "food")
    assert "1 of 3 inputs loses its beginning to fit into 124 tokens" in predicted.stderr
    assert len(predicted.stdout.splitlines()) == 3


def test_a_tenth_may_be_lost(cli: Callable[..., Any], gpt2_base: Path, tmp_path: Path) -> None:
    options = overrides(gpt2_base, data__train=rows(tmp_path / "a.jsonl", [*[3] * 9, 90]))
    plan = cli("train", "own_generation", *options, "--set", "data.max_length=80", "--dry-run", "--json")
    notes = json.loads(plan.stdout)["notes"]
    assert notes[0].startswith("1 of 10 training rows has no target within 80 tokens; 1 is cut; the longest")


@pytest.mark.parametrize(
    ("task", "label"), [("own_classification", ["a", "b"]), ("own_regression", ["1", "2"])]
)
def test_texts_that_are_cut_are_said(
    cli: Callable[..., Any], tmp_path: Path, task: str, label: list[str]
) -> None:
    save_encoder(tmp_path / "base", "roberta")
    file = tmp_path / "pairs.tsv"
    pairs = [f"a film\tgood {'film ' * (30 if i < 4 else 1)}\t{label[i % 2]}" for i in range(20)]
    file.write_text("\n".join(["one\ttwo\tlabel", *pairs]) + "\n", encoding="utf-8")
    keys = {"data__train": file, "data__valid": file, "task__text": ["one", "two"]}
    options = overrides(tmp_path / "base", **keys)
    done = cli("train", task, *options, "--set", "data.max_length=20", "--dry-run")
    assert "4 of 20 training rows are cut to 20 tokens; the longest has" in done.stdout
    assert done.stdout.count("4 of 20 validation rows are cut to 20 tokens") == 1
    shown = cli("data", "show", task, *options, "--set", "data.max_length=20", "-n", 0)
    assert "4 of 20 training rows are cut to 20 tokens" in shown.stdout
    vanished = cli("train", task, *options, "--set", "data.max_length=5", "--dry-run", code=3)
    assert "20 training rows" not in vanished.stderr  # every row loses a text
    assert "nothing is left to learn of any training row within 5 tokens" in vanished.stderr
    crowded = cli("train", task, *options, "--set", "data.max_length=3", "--dry-run", code=2)
    assert "no room for a text beside 4 special tokens within 3 tokens" in crowded.stderr


@pytest.fixture
def wordy_base(gpt2_base: Path, tmp_path: Path) -> Path:
    """A base whose tokenizer was given a token, and whose embedding was not."""
    base = tmp_path / "wordy"
    shutil.copytree(gpt2_base, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(base)
    return base


def test_a_token_without_a_row_of_the_embedding_is_named(
    cli: Callable[..., Any], wordy_base: Path, tmp_path: Path
) -> None:
    plain = rows(tmp_path / "plain.jsonl", [3] * 9)
    with_token = rows(tmp_path / "with.jsonl", [3, 1])
    with_token.write_text(with_token.read_text().replace('"prompt": "food"', '"prompt": "some <new> food"'))
    size = json.loads((wordy_base / "config.json").read_text())["vocab_size"]
    told = f"the tokenizer knows {size + 1} tokens, and the embedding has {size} rows"
    fault = (
        f"2: the token '<new>' ({size}) has no row in the embedding, which has {size}: 'some <new> food nice"
    )
    for split, name in (("train", "training row"), ("valid", "validation row"), ("test", "test context")):
        files = {
            "data__train": plain,
            "data__valid": plain,
            "data__test": plain,
            f"data__{split}": with_token,
        }
        for flags in (("--dry-run",), ("--output", tmp_path / "refused")):
            error = cli("train", "own_generation", *overrides(wordy_base, **files), *flags, code=3).stderr
            assert error.startswith(f"error: {name} {fault}"[: -5 if split == "test" else None])
    files = {"data__train": plain, "data__valid": plain, "data__test": plain}
    options = overrides(wordy_base, **files)
    assert told in cli("data", "show", "own_generation", *options, "-n", 0).stdout
    assert told in cli("train", "own_generation", *options, "--output", tmp_path / "run").stdout
    adapter = tmp_path / "run" / "adapter"
    done = cli("predict", adapter, "food")
    assert told in done.stderr
    assert told not in done.stdout
    error = cli("predict", adapter, "food", "a <new> one", code=3).stderr
    assert f"error: input 2: the token '<new>' ({size}) has no row" in error
    assert (
        f"test context 2: the token '<new>' ({size})"
        in cli("eval", adapter, "--data", with_token, code=3).stderr
    )
    with pytest.raises(DataError, match="input 1: the token '<new>'"):
        lorafit.load(adapter).predict(["<new>"])


@pytest.mark.parametrize("special", ["eos_token", "bos_token"])
def test_a_special_token_without_a_row_is_refused(
    cli: Callable[..., Any], wordy_base: Path, tmp_path: Path, special: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(wordy_base)
    setattr(tokenizer, special, "<new>")
    tokenizer.save_pretrained(wordy_base)
    file = rows(tmp_path / "a.jsonl", [3] * 9)
    command = ("train", "own_generation", *overrides(wordy_base, data__train=file), "--dry-run")
    if special == "bos_token":  # which this tokenizer puts nowhere
        assert "a text with one of the others is refused ('<new>')" in cli(*command).stdout
        return
    assert "the token '<new>' (" in (error := cli(*command, code=3).stderr)
    assert "and it stands in every text" in error


def test_a_pad_token_outside_of_the_embedding_is_refused(
    cli: Callable[..., Any], make_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = make_base("llama")
    config = json.loads((base / "config.json").read_text())
    file = rows(tmp_path / "a.jsonl", [3] * 9)
    command = ("train", "own_generation", *overrides(base, data__train=file), "--output", tmp_path / "run")
    for pad, code in ((config["vocab_size"], 3), (-1, 0)):
        (base / "config.json").write_text(json.dumps(config | {"pad_token_id": pad}))
        error = cli(*command, code=code).stderr
        assert ("config.json says pad_token_id" in error) == bool(code)
