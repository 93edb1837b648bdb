"""Tiny bases and data for `lorafit repro --quick`: the whole way of a table on a CPU, in minutes, with figures that
mean nothing.

The bases have random weights and the shapes' proportions only; the rows are drawn from a few words, with labels that
follow from them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PretrainedConfig

from lorafit.errors import RecipeError
from lorafit.files import new_folder, write_json, write_text
from lorafit.models import family_of, load_config
from lorafit.recipe import Recipe

NUM_TRAIN, NUM_DEV = 24, 10  # rows of a task
NUM_STEPS = 4

_NAMES = ("Alimentum", "Cotto", "Zizzi", "Aromi", "Clowns", "Giraffe")
_AREAS = ("riverside", "city centre")
_FOODS = ("Italian", "French", "Indian")
_GOOD, _BAD = ("good", "fine", "lovely", "great"), ("bad", "awful", "poor", "dull")
_THINGS = ("film", "meal", "song", "book", "play")


class QuickTable:
    """A folder with a tiny base for every architecture and tiny data for every task, made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def overrides(self, recipe: Recipe) -> list[str]:
        """What makes a quick run of a recipe."""
        task = recipe.task.name
        values: dict[str, Any] = {
            "model.base": str(self._base(recipe)),
            "data.max_length": 64,
            "train.max_steps": NUM_STEPS,
            "train.batch_size": 6,
            "train.learning_rate": 0.01,
            "train.log_every": 1,
            **self._data(task),
        }
        if recipe.train.warmup_steps:
            values["train.warmup_steps"] = 1
        if recipe.train.micro_batch_size:
            values["train.micro_batch_size"] = 6
        if task in _TEXT_WRITERS:
            values |= {"decode.num_beams": 2, "decode.max_new_tokens": 12, "decode.eos_token_ids": [0]}
        return [f"{key}={json.dumps(value)}" for key, value in values.items()]

    def _base(self, recipe: Recipe) -> Path:
        config = load_config(recipe.model.base, recipe.model.revision, local_only=True)
        folder = self.folder / "bases" / config.model_type
        if not folder.is_dir():
            with new_folder(folder) as temporary:
                _make_base(config, temporary)
        return folder

    def _data(self, task: str) -> dict[str, str]:
        """Keys of `[data]`. Raises RecipeError for a task of which there are no quick rows."""
        folder = self.folder / "data"
        if task in _TEXT_WRITERS:
            if not (folder / task).is_dir():
                with new_folder(folder / task) as temporary:
                    for split, count in (("train", NUM_TRAIN), ("valid", NUM_DEV), ("test", NUM_DEV)):
                        _TEXT_WRITERS[task](temporary / f"{split}.txt", _facts(f"{task} {split}", count))
            return {
                f"data.{split}": str(folder / task / f"{split}.txt") for split in ("train", "valid", "test")
            }
        if task not in _GLUE_ROWS:
            raise RecipeError(f"--quick: there are no quick rows for the task {task!r}")
        glue = folder / "glue"
        name = _GLUE_FOLDERS[task]
        if not (glue / name).is_dir():
            with new_folder(glue / name) as temporary:
                _write_glue(task, temporary)
        return {"data.dir": str(glue)}


# ---- bases


def _make_base(like: PretrainedConfig, folder: Path) -> None:
    """A random model of the same architecture, two narrow layers deep, with a tokenizer of the quick rows' words."""
    family = family_of(like)
    texts = [f"{context} {text}" for context, text, _ in _facts("tokenizer", 60)]
    moods = [f"the {thing} was {mood} ." for mood in _GOOD + _BAD for thing in _THINGS]
    tokenizer = family.tiny_tokenizer([*texts, *moods])
    tokenizer.save_pretrained(folder)
    config = family.tiny_config(like, vocab_size=len(tokenizer))
    torch.manual_seed(0)
    auto = AutoModelForCausalLM if "text" in family.heads else AutoModelForMaskedLM
    transformers.utils.logging.disable_progress_bar()  # a file of some kilobytes
    auto.from_config(config).save_pretrained(folder)


# ---- texts

Fact = tuple[str, str, str]
"""Context of E2E, a text for it, and the place's name."""


def _facts(seed: str, count: int) -> list[Fact]:
    draw = random.Random(seed)
    facts = []
    for _ in range(count):
        name, area, food = draw.choice(_NAMES), draw.choice(_AREAS), draw.choice(_FOODS)
        context = f"name : {name} | area : {area} | food : {food}"
        facts.append((context, f"{name} serves {food} food in the {area} .", name))
    return facts


def _triples(context: str, name: str) -> list[tuple[str, str, str]]:
    slots = [slot.split(" : ") for slot in context.split(" | ")]
    return [(name, key, value) for key, value in slots[1:]]


def _write_e2e(path: Path, facts: Sequence[Fact]) -> None:
    write_text(path, "".join(f"{context}||{text} \n" for context, text, _ in facts))


def _write_dart(path: Path, facts: Sequence[Fact]) -> None:
    records = [
        {
            "tripleset": [[s, r.upper(), o] for s, r, o in _triples(context, name)],
            "annotations": [{"source": "quick", "text": text}],
        }
        for context, text, name in facts
    ]
    write_json(path, records)


def _write_webnlg(path: Path, facts: Sequence[Fact]) -> None:
    entries = []
    for number, (context, text, name) in enumerate(facts, start=1):
        triples = [{"subject": s, "property": p, "object": o} for s, p, o in _triples(context, name)]
        lexicalisation = {"comment": "good", "lang": "", "lex": text, "xml_id": "Id1"}
        entry = {
            "category": ("Food", "Artist")[number % 2],  # one seen, one unseen
            "lexicalisations": [lexicalisation],
            "modifiedtripleset": triples,
            "originaltriplesets": {"originaltripleset": [triples]},
            "size": str(len(triples)),
            "xml_id": f"Id{number}",
        }
        entries.append({str(number): entry})
    write_json(path, {"entries": entries})


_TEXT_WRITERS: dict[str, Callable[[Path, Sequence[Fact]], None]] = {
    "e2e": _write_e2e,
    "dart": _write_dart,
    "webnlg": _write_webnlg,
}


# ---- GLUE, in the layout of its download

_GLUE_FOLDERS = {
    "cola": "CoLA",
    "sst2": "SST-2",
    "mrpc": "MRPC",
    "stsb": "STS-B",
    "qqp": "QQP",
    "mnli": "MNLI",
    "qnli": "QNLI",
    "rte": "RTE",
}
_HEADERS: dict[str, tuple[str, ...]] = {
    "cola": (),
    "sst2": ("sentence", "label"),
    "mrpc": ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    "stsb": ("index", "sentence1", "sentence2", "score"),
    "qqp": ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
    "mnli": ("index", "sentence1", "sentence2", "gold_label"),
    "qnli": ("index", "question", "sentence", "label"),
    "rte": ("index", "sentence1", "sentence2", "label"),
}
_ENTAILS = ("not_entailment", "entailment")
# Row number, two sentences and whether they have the same mood -> the cells of a line.
_GLUE_ROWS: dict[str, Callable[[int, str, str, int], tuple[object, ...]]] = {
    "cola": lambda _, a, __, y: ("gj04", y, "" if y else "*", a),
    "sst2": lambda _, a, __, y: (a, y),
    "mrpc": lambda i, a, b, y: (y, i, i, a, b),
    "stsb": lambda i, a, b, y: (i, a, b, f"{1.5 + 3 * y + i % 3 / 4:.3f}"),
    "qqp": lambda i, a, b, y: (i, i, i, a, b, y),
    "mnli": lambda i, a, b, y: (i, a, b, "neutral" if i % 5 == 0 else ("contradiction", "entailment")[y]),
    "qnli": lambda i, a, b, y: (i, a, b, _ENTAILS[y]),
    "rte": lambda i, a, b, y: (i, a, b, _ENTAILS[y]),
}


def _write_glue(task: str, folder: Path) -> None:
    dev = ("dev_matched", "dev_mismatched") if task == "mnli" else ("dev",)
    for name, count in (("train", NUM_TRAIN), *((split, NUM_DEV) for split in dev)):
        draw = random.Random(f"{task} {name}")
        lines = ["\t".join(_HEADERS[task])] if _HEADERS[task] else []
        lines += ["\t".join(map(str, _glue_row(task, i, draw))) for i in range(count)]
        write_text(folder / f"{name}.tsv", "\n".join(lines) + "\n")


def _glue_row(task: str, index: int, draw: random.Random) -> tuple[object, ...]:
    """Both labels come about equally often; with one sentence the label is its mood, with two whether they agree."""
    first, second = draw.random() < 0.5, draw.random() < 0.5
    thing = draw.choice(_THINGS)
    a, b = (f"the {thing} was {draw.choice(_GOOD if mood else _BAD)} ." for mood in (first, second))
    single = task in ("cola", "sst2")
    return _GLUE_ROWS[task](index, a, b, int(first if single else first == second))
