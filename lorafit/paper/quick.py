"""Tiny bases and made-up rows for a quick run of a table: every step of it on a CPU, in minutes, with figures that mean
nothing.

A base has random weights and the proportions of its family; rows are drawn from a few words, with labels that follow
from them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PretrainedConfig

from lorafit.files import new_folder, write_json, write_text
from lorafit.models import family_of, load_config
from lorafit.models.families.base import SIZES
from lorafit.recipe import Split
from lorafit.run.recipes import Recipe
from lorafit.tasks import PRESETS, Preset, Task

NUM_ROWS: Mapping[Split, int] = {"train": 24, "valid": 10, "test": 10}
NUM_STEPS = 4

_NAMES = ("Alimentum", "Cotto", "Zizzi", "Aromi", "Clowns", "Giraffe")
_AREAS = ("riverside", "city centre")
_FOODS = ("Italian", "French", "Indian")
_MOODS = (
    ("bad", "awful", "poor", "dull"),
    ("good", "fine", "lovely", "great"),
    ("odd", "long", "new", "old"),
)
_THINGS = ("film", "meal", "song", "book", "play")


class QuickInputs:
    """A folder with a tiny base of each architecture and rows for each preset, made when a recipe first needs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def overrides(self, recipe: Recipe) -> list[str]:
        """What makes a quick run of a recipe of one of the paper's tasks."""
        values: dict[str, object] = {
            "model.base": str(self._base(recipe)),
            "data.max_length": 64,
            "train.max_steps": NUM_STEPS,
            "train.batch_size": 6,
            "train.learning_rate": 0.01,
            "train.log_every": 1,
            **self._data(recipe),
        }
        if recipe.train.warmup_steps:
            values["train.warmup_steps"] = 1
        if recipe.train.micro_batch_size:
            values["train.micro_batch_size"] = 6
        r = recipe.method.options().get("r", 0)
        if isinstance(r, int) and r > SIZES["hidden_size"]:
            values["method.r"] = SIZES["hidden_size"]  # no update of the tiny base has a greater rank
        if recipe.task.output == "text":
            values |= {"decode.num_beams": 2, "decode.max_new_tokens": 12, "decode.eos_token_ids": [0]}
        return [f"{key}={json.dumps(value)}" for key, value in values.items()]

    def _base(self, recipe: Recipe) -> Path:
        config = load_config(recipe.model.base, recipe.model.revision, local_only=True)
        folder = self.folder / "bases" / config.model_type
        if not folder.is_dir():
            with new_folder(folder) as temporary:
                _save_base(config, temporary)
        return folder

    def _data(self, recipe: Recipe) -> dict[str, str]:
        """Keys of `[data]`."""
        name = recipe.task.name
        folder = self.folder / "data" / name
        if not folder.is_dir():
            with new_folder(folder) as temporary:
                _write_splits(recipe, PRESETS[name], temporary)
        return {"data.dir": str(folder)}


def _save_base(like: PretrainedConfig, folder: Path) -> None:
    """A random model of the same family, with a tokenizer that knows the words of the rows."""
    family = family_of(like)
    facts = [f"{fact.prompt} {fact.text}" for fact in _facts("tokenizer", 60)]
    tokenizer = family.tiny_tokenizer(
        [*facts, *(_sentence(*words) for words in product(_THINGS, chain(*_MOODS)))]
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    auto = AutoModelForCausalLM if "text" in family.heads else AutoModelForMaskedLM
    transformers.utils.logging.disable_progress_bar()  # a file of some kilobytes
    auto.from_config(family.tiny_config(like, vocab_size=len(tokenizer))).save_pretrained(folder)


def _write_splits(recipe: Recipe, preset: Preset, folder: Path) -> None:
    """Files as `data.dir` may hold them: train, valid and test in the paper's formats, train and dev of GLUE."""
    if recipe.data.format in _TEXT_FORMATS:
        suffix, write = _TEXT_FORMATS[recipe.data.format]
        for split, count in NUM_ROWS.items():
            write(folder / f"{split}{suffix}", _facts(f"{recipe.task.name} {split}", count))
        return
    parts = preset.submission.files if preset.submission else ("",)
    dev = (f"dev_{part}".removesuffix("_") for part in parts)
    for name, count in (("train", NUM_ROWS["train"]), *((name, NUM_ROWS["valid"]) for name in dev)):
        _write_table(
            folder / f"{name}.tsv", recipe, _labelled(f"{recipe.task.name} {name}", count, recipe.task)
        )


# ---- texts


@dataclass(frozen=True)
class _Fact:
    """What a place serves, and where: its slots as E2E writes them, and a text that says them."""

    name: str
    slots: Mapping[str, str]

    @property
    def prompt(self) -> str:
        return " | ".join(f"{slot} : {value}" for slot, value in {"name": self.name, **self.slots}.items())

    @property
    def text(self) -> str:
        return f"{self.name} serves {self.slots['food']} food in the {self.slots['area']} ."


def _facts(seed: str, count: int) -> list[_Fact]:
    draw = random.Random(seed)
    return [
        _Fact(draw.choice(_NAMES), {"area": draw.choice(_AREAS), "food": draw.choice(_FOODS)})
        for _ in range(count)
    ]


def _write_e2e(path: Path, facts: Sequence[_Fact]) -> None:
    write_text(path, "".join(f"{fact.prompt}||{fact.text} \n" for fact in facts))


def _write_dart(path: Path, facts: Sequence[_Fact]) -> None:
    entries = [
        {
            "tripleset": [[fact.name, slot.upper(), value] for slot, value in fact.slots.items()],
            "annotations": [{"source": "quick", "text": fact.text}],
        }
        for fact in facts
    ]
    write_json(path, entries)


def _write_webnlg(path: Path, facts: Sequence[_Fact]) -> None:
    entries = []
    for number, fact in enumerate(facts, start=1):
        triples = [{"subject": fact.name, "property": s, "object": v} for s, v in fact.slots.items()]
        entry = {
            "category": ("Food", "Artist")[number % 2],  # the first is seen in training, the second is not
            "modifiedtripleset": triples,
            "lexicalisations": [{"comment": "good", "lex": fact.text}],
        }
        entries.append({str(number): entry})
    write_json(path, {"entries": entries})


_TEXT_FORMATS: Mapping[str | None, tuple[str, Callable[[Path, Sequence[_Fact]], None]]] = {
    "e2e": (".txt", _write_e2e),
    "dart": (".json", _write_dart),
    "webnlg": (".json", _write_webnlg),
}
"""`data.format` -> suffix of the files, and their writer."""


# ---- labels


def _sentence(thing: str, mood: str) -> str:
    return f"the {thing} was {mood} ."


def _labelled(seed: str, count: int, task: Task) -> Iterator[dict[str, str]]:
    """Rows by column. Each text has a mood, and the label is the sum of the moods: of two, whether they agree."""
    draw = random.Random(seed)
    *texts, label = task.columns("train")
    num_moods = len(task.labels or _MOODS)
    for number in range(count):
        thing = draw.choice(_THINGS)
        moods = [draw.randrange(num_moods) for _ in texts]
        row = {
            text: _sentence(thing, draw.choice(_MOODS[mood])) for text, mood in zip(texts, moods, strict=True)
        }
        total = sum(moods) % num_moods
        yield row | {label: task.labels[total] if task.labels else f"{total + number % 3 / 4:.2f}"}


def _write_table(path: Path, recipe: Recipe, rows: Iterable[Mapping[str, str]]) -> None:
    """Tab-separated, under the names that the columns have in GLUE's own files."""
    names = {new: old for old, new in recipe.data.rename.items()}
    columns = recipe.data.columns or recipe.task.columns("train")
    header = [] if recipe.data.columns else ["\t".join(names.get(column, column) for column in columns)]
    lines = ["\t".join(row.get(column, "") for column in columns) for row in rows]
    write_text(path, "\n".join([*header, *lines]) + "\n")
