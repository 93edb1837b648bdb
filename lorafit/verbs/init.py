"""Rows -> a recipe that fits it, in which every guess is a line with its reason."""

from __future__ import annotations

import json
import math
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorafit.data.given import Given, Key, given_data
from lorafit.data.rows import Row
from lorafit.data.sample import Sample
from lorafit.data.sources import share_place
from lorafit.errors import ChangeArgument, DataError, NotFoundError, RecipeError
from lorafit.files import local_path, write_text
from lorafit.hub import OnBytes, all_of_them
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.recipe.bounds import TOKENS
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.tasks import Task, make_task
from lorafit.tasks.guess import Ask, Guess, columns_of, guess_task, take_the_best

_TOKENS_PER_WORD = 1.4  # of English in the usual vocabularies
_BATCH_TOKENS = 4096
_SHOWN_ROWS = 3
_SHARES = (0.1, 0.2, 0.3, 0.5)  # of the training rows, to validate on
_MAX_ROOM = int(TOKENS.limit)
_MAX_EXAMPLE = 1024  # tokens of an example of a long text
_NEW_TOKENS = 256  # of a text that goes on


_METHOD = (
    Key("name", "lora"),
    Key("r", 16, "rank: more learns more, and takes more memory"),
    Key("alpha", 32, "scale: the update counts alpha / r times"),
    Key(
        "targets",
        "all-linear",
        "every linear layer of every block gets an adapter (LoRA Without Regret, 2025)",
    ),
)


@dataclass(frozen=True)
class Usual:
    """What is usual for a kind of model: a base, and hyperparameters with where they come from."""

    base: str
    base_reason: str
    learning_rate: float
    rate_reason: str
    warmup_ratio: float
    epochs: Mapping[int, int]  # up to that many rows -> passes over them


_LABELS = Usual(
    "FacebookAI/roberta-base",
    "a small encoder that reads English well; any other, on the hub or in a folder",
    4e-4,
    "what the LoRA paper takes for most tasks with RoBERTa base (Table 9)",
    0.06,
    {1_000: 10, 10_000: 5, 100_000: 3},
)
_TEXTS = Usual(
    "Qwen/Qwen3-0.6B-Base",
    "a small model of many languages; any other that writes texts, on the hub or in a folder",
    5e-4,
    "ten times what full fine-tuning takes, whatever the rank (LoRA Without Regret, 2025)",
    0.05,
    {1_000: 5, 10_000: 3, 100_000: 2},
)


_CHATS = Usual(
    "Qwen/Qwen2.5-0.5B-Instruct",
    "a small model that knows how conversations are written; any other, on the hub or in a folder",
    _TEXTS.learning_rate,
    _TEXTS.rate_reason,
    _TEXTS.warmup_ratio,
    _TEXTS.epochs,
)


@dataclass(frozen=True)
class Preview:
    """Rows of the sample as the model will see them, and lengths in tokens, of answers and of all.

    They are estimated where `tokenizer` is not here. `room`: what fits into the base, where that is known. `splits`: a
    longer text is not cut, but learned in several examples.
    """

    lengths: Sequence[int]
    answers: Sequence[int]
    rows: Sequence[Mapping[str, Any]] = ()
    tokenizer: bool = False
    room: int = _MAX_ROOM
    splits: bool = False


@dataclass(frozen=True)
class InitResult:
    """The new recipe, what was looked at, and what may have been meant otherwise."""

    path: Path
    text: str
    recipe: Recipe
    sample: Sample
    guess: Guess
    preview: Preview
    num_cut: int
    num_malformed: int
    first_fault: str


def init(
    data: Path,
    output: Path | None,
    base: str | None,
    ask: Ask = take_the_best,
    tell: OnBytes = lambda *_: None,
) -> InitResult:
    """Look at the first training rows of a file, a folder or a data set on the hub, and write a recipe for it.

    `tell` receives the bytes that come from the hub.

    Raises RecipeError where the recipe exists, NotFoundError where the data are not there, DataError where they hold
    nothing that can be learned.
    """
    path = output or Path(f"{data.resolve().name.split('.')[0] or 'recipe'}.toml")
    if path.exists():
        raise RecipeError(f"{path}: already exists", ChangeArgument("output"))
    with all_of_them(tell) as tell_of_some:
        given = given_data(data, tell_of_some)
    sample = given.sample
    guess = guess_task(columns_of(sample.rows), ask)
    task, rows, faults = _parsed(guess, sample)
    usual = _CHATS if task.kind == "chat" else _LABELS if task.num_outputs else _TEXTS
    task, guess = _with_template(task, guess, base or usual.base)
    preview = _preview(task, rows, base or usual.base)
    max_length = min(
        _rounded(preview.lengths, 32), preview.room, _MAX_EXAMPLE if preview.splits else preview.room
    )
    sections = {
        "model": [Key("base", base or usual.base, "as asked for" if base else usual.base_reason)],
        "method": list(_METHOD),
        "task": _task(guess, task),
        "data": _data(given, task, max_length, preview),
        "train": _train(usual, sample, max_length),
    }
    if not task.num_outputs:
        sections["decode"] = _decode(preview)
    text = _written(_head(data, path, sample, guess), sections)
    recipe = _checked(text, path.stem)
    num_cut = _num_cut(preview, max_length)
    write_text(path, text)
    return InitResult(
        path, text, recipe, sample, guess, preview, num_cut, len(faults), faults[0] if faults else ""
    )


def _parsed(guess: Guess, sample: Sample) -> tuple[Task, list[Row], list[str]]:
    """The task with what it takes from the sample, its typed rows, and what is wrong with the others."""
    task = make_task(str(guess.task["name"]), **{k: v for k, v in guess.task.items() if k != "name"})
    task = task.resolve(row for row in sample.rows if not row.fault)
    rows, faults = [], []
    for raw in sample.rows:
        try:
            if raw.fault:
                raise ValueError(raw.fault)
            rows.append(task.parse(raw, "train").at(f"line {raw.line}:"))
        except ValueError as error:
            faults.append(f"{raw.line}: {error}")
    if not rows:
        raise DataError(f"not one usable row among the first {len(faults):,}; {faults[0]}")
    return task, rows, faults


def _with_template(task: Task, guess: Guess, base: str) -> tuple[Task, Guess]:
    """Where the base does not know how conversations are written, they are written plainly."""
    if task.kind != "chat" or not _is_here(base):
        return task, guess
    from lorafit.models import load_tokenizer

    if load_tokenizer(base).chat_template is not None:
        return task, guess
    template, reason = {"template": "plain"}, "the tokenizer of the base has no chat template"
    plain = replace(guess, task={**guess.task, **template}, reasons={**guess.reasons, "template": reason})
    return task.model_copy(update=template), plain


def _preview(task: Task, rows: Sequence[Row], base: str) -> Preview:
    """By the base's tokenizer where it is here; else by the words."""
    if not _is_here(base):
        lengths = [_estimate(row) for row in rows]
        answers = [] if task.kind == "text" else [length // 2 for length in lengths]
        return Preview(lengths, answers, splits=task.kind == "text")
    from lorafit.models import load_tokenizer
    from lorafit.objectives import Settings, facts_at_hand, objective_for

    facts = facts_at_hand(task, base)
    room, tokenizer = min(facts.num_positions or _MAX_ROOM, _MAX_ROOM), load_tokenizer(base)
    data = DataSection(max_length=room, on_bad_row="skip")
    settings = Settings(data, DecodeSection(max_new_tokens=1), EvalSection())
    objective = objective_for(task, facts, settings)
    encoder, usable = objective.encoder(tokenizer), objective.usable_rows(tokenizer, rows)
    encoded = encoder.encode(usable)
    parts = [encoder.part_lengths(example) for example in encoded.examples]
    answers = [part[name] for part in parts for name in ("completion", "learned") if name in part]
    shown = [
        encoder.show(row, example)
        for row in usable[:_SHOWN_ROWS]
        for example in encoder.encode([row]).examples[:1]
    ]
    return Preview(encoded.lengths, answers, shown, tokenizer=True, room=room, splits=task.kind == "text")


def _is_here(base: str) -> bool:
    """Whether a base is a folder, or in the hub's cache: nothing is downloaded for a look at rows."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if local_path(base).is_dir():
        return True
    try:
        return isinstance(try_to_load_from_cache(base, "tokenizer_config.json"), str)
    except HFValidationError:
        raise NotFoundError(
            f"{base}: no such folder, and no name on the hub", ChangeArgument("base")
        ) from None


def _estimate(row: Row) -> int:
    """Tokens of all texts of a row."""
    texts: Iterable[object] = row.to_json().values()
    return math.ceil(_TOKENS_PER_WORD * len(json.dumps(list(texts), ensure_ascii=False).split())) + 2


def _rounded(lengths: Sequence[int], step: int) -> int:
    """Room for 99 of 100, as a multiple of `step`."""
    ordered = sorted(lengths)
    return max(step * math.ceil(ordered[(len(ordered) * 99 - 1) // 100] / step), step)


def _task(guess: Guess, task: Task) -> list[Key]:
    keys = [Key(name, value, guess.reasons.get(name, "")) for name, value in guess.task.items()]
    if task.num_outputs:
        keys.append(Key("metrics", task.metrics or (), "the first one chooses the best epoch"))
    return keys


def _data(given: Given, task: Task, max_length: int, preview: Preview) -> list[Key]:
    keys = list(given.keys)
    if not given.has_valid and (share := _share(task, given.sample)) is not None:
        keys.append(
            Key("valid", share, "a file, or this share of the training rows; it chooses the best epoch")
        )
    how = "" if preview.tokenizer else ", estimated by the words"
    longest = max(preview.lengths)
    return [
        *keys,
        Key(
            "max_length",
            max_length,
            "tokens of an example; a longer text is learned in several"
            if preview.splits
            else f"tokens; {_num_cut(preview, max_length):,} of {len(preview.lengths):,} rows are cut, the longest has "
            f"{longest:,}{how}",
        ),
    ]


def _share(task: Task, sample: Sample) -> float | None:
    """The least share that takes some of the rows, and leaves some; None where no usual one does."""
    if not sample.whole:
        return _SHARES[0]
    places = [share_place(row, task.key) for row in sample.rows]
    return next((share for share in _SHARES if min(places) < share <= max(places)), None)


def _num_cut(preview: Preview, max_length: int) -> int:
    """Rows that lose their end."""
    return 0 if preview.splits else sum(length > max_length for length in preview.lengths)


def _train(usual: Usual, sample: Sample, max_length: int) -> list[Key]:
    epochs = next((n for most, n in usual.epochs.items() if sample.num_rows <= most), 1)
    batch_size = min(max(2 ** int(math.log2(_BATCH_TOKENS / max_length)), 4), 32)
    about = "" if sample.whole else "about "
    return [
        Key("epochs", epochs, f"passes over {about}{sample.num_rows:,} rows"),
        Key("batch_size", batch_size, "short of memory? micro_batch_size = 2 has the same result"),
        Key("learning_rate", usual.learning_rate, usual.rate_reason),
        Key("warmup_ratio", usual.warmup_ratio, "of all steps, until the learning rate is at its peak"),
    ]


def _decode(preview: Preview) -> list[Key]:
    if not preview.answers:
        return [
            Key("max_new_tokens", min(_NEW_TOKENS, preview.room // 2), "the longest text that is written")
        ]
    most = min(_rounded(preview.answers, 16), preview.room // 2)
    return [
        Key("num_beams", 1, "greedy; 4 is slower and often a little better"),
        Key("max_new_tokens", most, "the longest text that is written; 99 of 100 answers are shorter"),
    ]


def _head(data: Path, path: Path, sample: Sample, guess: Guess) -> list[str]:
    seen = f"all {sample.num_rows:,} rows" if sample.whole else f"the first {len(sample.rows):,} rows"
    lines = [f"A guess by {seen} of {data}: every line may be changed, and has its reason behind it."]
    lines += [f"Could also be meant: {doubt}" for doubt in guess.doubts]
    return [*lines, "", f"  {shlex.join(['lorafit', 'train', str(path)])}"]


def _written(head: Sequence[str], sections: Mapping[str, Sequence[Key]]) -> str:
    """As TOML, with the reasons as comments in one column."""
    lines = [f"# {line}".rstrip() for line in head]
    for section, keys in sections.items():
        lines += ["", f"[{section}]"]
        assigned = [f"{key.name} = {_toml(key.value)}" for key in keys]
        width = min(max(map(len, assigned)), 40)
        lines += [
            f"{line:<{width}}  # {key.reason}" if key.reason else line
            for line, key in zip(assigned, keys, strict=True)
        ]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case float():
            return f"{value:g}"
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
    return str(value)


def _checked(text: str, name: str) -> Recipe:
    """The recipe as `lorafit train` will read it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return open_recipe(path)
