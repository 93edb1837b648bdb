"""Task and [data] -> typed rows, each file read once. Every row is used, or counted and said."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lorafit.cache import Key, why_not_kept
from lorafit.data.cells import shown, shown_names
from lorafit.data.places import no_place, row_sources
from lorafit.data.rows import RawRow, Row
from lorafit.data.sources import Renamed, RowFile, RowSource
from lorafit.data.splits import SPLIT_NAMES
from lorafit.data.stored import StoredRows, find_rows, keep_rows
from lorafit.errors import Advice, DataError, Remedy, SetKey, did_you_mean
from lorafit.files import JsonObject, absolute_path
from lorafit.hashes import source_hash
from lorafit.recipe import SPLITS, DataSection, Split
from lorafit.tasks.base import Task
from lorafit.tasks.presets import PRESETS
from lorafit.tasks.registry import layout_of

_SHOWN_FAULTS = 5
_SHOWN_LINES = 12
_SPLIT_COLUMN = "split"
_SKIP = SetKey("data.on_bad_row", "skip", "leaves such rows out")

_NOT_OF_ROWS = {
    *("dir", "train", "valid", "test", "hub", "hub_config", "hub_revision"),  # the files stand in their place
    *("max_length", "on_long_row", "weights"),
}
_OF_SCORES = ("metrics", "headline", "score_on")

Fault = tuple[int, str]
"""Number of a row, and what is wrong with it."""


@dataclass(frozen=True)
class Rows:
    """The rows of every split that `data` has a place for. `task` has its labels, and `notes` says what was left out.

    Rows are read when they are asked for, and kept.
    """

    task: Task
    data: DataSection
    sources: Mapping[Split, RowSource]
    notes: list[str] = field(default_factory=list)
    _found: dict[Split, _SplitRows] = field(default_factory=dict)

    @property
    def splits(self) -> list[Split]:
        """Those for which there is a place."""
        return [split for split in SPLITS if split in self.sources]

    @property
    def scored_split(self) -> Split:
        """The split on which a run is scored in the end."""
        return self.task.scored_split(self.splits)

    @property
    def splits_of_run(self) -> list[Split]:
        """What a run reads: its training rows, those that choose the best epoch, and those that are scored."""
        wanted = {"train", "valid", self.scored_split}
        return [split for split in SPLITS if split == "train" or (split in self.sources and split in wanted)]

    def rows(self, split: Split) -> Sequence[Row]:
        """The rows of a split, in the order of its files. Many of them lie in the cache of `lorafit data cache`.

        Raises NotFoundError that names the file that is not there, DataError with the lines of malformed rows.
        """
        if split not in self._found:
            self._found[split] = self._find(split)
            self.notes.extend(self._found[split].notes)
        return self._found[split].rows

    def sizes(self, split: Split) -> list[int]:
        """How many of the rows each file has. Raises as `rows`."""
        self.rows(split)
        return self._found[split].sizes

    def num_train_rows(self) -> int | None:
        """Training rows where they are at hand; else None, and the preset knows how many the original data have.

        Raises NotFoundError for a file that is named and is not there, and for a task that is no preset.
        """
        source = self._source("train")
        preset = PRESETS.get(self.task.name)
        if preset is None or self.data.train is not None or source.at_hand():
            return len(self.rows("train"))
        return None

    def identity(self, split: Split) -> str:
        """A sha256 over what the rows come from. Raises NotFoundError where it is not there."""
        return self._source(split).identity()

    def hashes(self, split: Split) -> dict[str, str]:
        """The sha256 of each file that the rows come from, by its name. Raises as `identity`."""
        return self._source(split).hashes()

    def _source(self, split: Split) -> RowSource:
        return self.sources.get(split, no_place(split))

    def _find(self, split: Split) -> _SplitRows:
        """What an earlier process stored of the split, or else what its files hold."""
        key = self._key(split)
        if (stored := find_rows(key)) is not None:
            return _SplitRows(stored, stored.about["sizes"], stored.about["notes"])
        reading = _Reading(self.task, self.data, split)
        files = self._source(split).open()

        def about() -> JsonObject:
            if self._key(split) != key:
                raise DataError(f"{key.of}: changed while it was read", Advice("run the command again"))
            return {"sizes": reading.sizes, "notes": reading.notes}

        rows = keep_rows(itertools.chain.from_iterable(map(reading.rows, files)), key, about)
        if not rows:
            raise _no_rows(self.data, split)
        why = why_not_kept() if isinstance(rows, StoredRows) else ""
        unkept = [f"rows and token ids are not kept for the next run: {why}"] if why else []
        return _SplitRows(rows, reading.sizes, [*reading.notes, *unkept])

    def _key(self, split: Split) -> Key:
        """What decides the rows: the bytes of their files, how these are read, and what the task makes of it."""
        source = self._source(split)
        files = [[absolute_path(name) or name, sha256] for name, sha256 in source.hashes().items()]
        return Key(
            "rows",
            f"{', '.join(name for name, _ in files)} ({split})",
            {
                "files": files,
                "identity": source.identity(),
                "split": split,
                "data": self.data.model_dump(mode="json", exclude=_NOT_OF_ROWS),
                "task": {key: value for key, value in self.task.options().items() if key not in _OF_SCORES},
                "program": source_hash("data", "tasks", "recipe"),
            },
        )


@dataclass(frozen=True)
class _SplitRows:
    """The rows of a split, how many of them each file has, and what was left out."""

    rows: Sequence[Row]
    sizes: list[int]
    notes: list[str]


@dataclass(frozen=True)
class _Reading:
    """Raw rows -> typed ones, file by file: `sizes` and `notes` grow with each file that is read."""

    task: Task
    data: DataSection
    split: Split
    sizes: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def rows(self, file: RowFile) -> Iterator[Row]:
        """Every row by the task. Raises DataError with the lines of the bad ones, unless these are skipped."""
        num_rows = 0
        faults: list[Fault] = []
        left_out: dict[str, list[Fault]] = {}
        for row in _with_columns(self.task, self.data, file, self.split):
            if row.left_out:
                left_out.setdefault(row.fault, []).append((row.line, row.fault))
                continue
            try:
                if row.fault:
                    raise ValueError(row.fault)
                typed = self.task.parse(row, self.split).at(file.place(row.line))
            except ValueError as error:
                faults.append((row.line, str(error)))
            else:
                num_rows += 1
                yield typed
        if faults and self.data.on_bad_row == "error":
            raise _malformed(file, faults, _SKIP)
        others = sum(map(len, left_out.values()))
        if (faults or others) and not num_rows:
            also = f", {others:,} left out: {'; '.join(left_out)}" if others else ""
            raise DataError(f"{file.where}: not one usable row ({len(faults):,} malformed{also})")
        for why, those in left_out.items():
            self.notes.append(f"{file.where}: {_rows_were(those)} left out: {why} ({_numbers(file, those)})")
        if faults:
            note = f"{file.where}: {len(faults)} malformed {_rows_were(faults).partition(' ')[2]} skipped"
            self.notes.append(f"{note} ({_numbers(file, faults)}); {num_rows:,} are left")
        self.sizes.append(num_rows)


def load_rows(task: Task, data: DataSection) -> Rows:
    """The rows that `data` names, for a task; and the task with everything that it takes from them.

    Raises NotFoundError where a task needs training rows that are not there, DataError where nothing can be learned
    from them.
    """
    sources = row_sources(data, layout_of(task.name), task.key)

    def train_rows() -> Iterator[RawRow]:
        num_rows = 0
        for file in sources.get("train", no_place("train")).open():
            faults: list[Fault] = []
            for row in _with_columns(task, data, file, "train"):
                if not row.fault:
                    num_rows += 1
                    yield row
                elif not row.left_out:
                    faults.append((row.line, row.fault))
            if faults and data.on_bad_row == "error":
                raise _malformed(file, faults, _SKIP)
        if not num_rows:
            raise _no_rows(data, "train")

    return Rows(task.resolve(train_rows()), data, sources)


def _no_rows(data: DataSection, split: Split) -> DataError:
    """Why a split has no rows."""
    shares = data.shares()
    if split in shares:
        return DataError(
            f"[data] {split}: no training row falls into the share of {shares[split]:g}",
            SetKey(f"data.{split}", note="a greater share, or a file"),
        )
    if split == "train" and shares:
        return DataError(
            f"[data] {' and '.join(shares)}: no training row is left beside the share",
            SetKey(f"data.{next(iter(shares))}", note="a smaller share, or a file"),
        )
    return DataError(f"[data]: no row of the {split} split can be used")


def input_rows(task: Task, data: DataSection, source: RowSource) -> list[tuple[JsonObject, Row]]:
    """Rows to predict: the fields of each as they stand in the file, and what a task that was trained on `data` reads
    of them. What they say of the answer is not read.

    Raises NotFoundError for a file that is not there, DataError with the lines of bad rows.
    """
    found: list[tuple[JsonObject, Row]] = []
    renamed = Renamed(source, data.rename)
    required = [column for column in task.input_columns if column in task.columns("test")]
    for file in source.open():
        faults: list[Fault] = []
        for row in file.rows:
            meant = row if row.fault else renamed.row(row)
            try:
                if fault := meant.fault or _lacks(required, meant, data, file):
                    raise ValueError(fault)
                found.append((dict(row.fields), task.parse_input(meant.fields).at(file.place(row.line))))
            except ValueError as error:
                faults.append((row.line, str(error)))
        if faults:
            raise _malformed(file, faults)
    return found


def _with_columns(task: Task, data: DataSection, file: RowFile, split: Split) -> Iterator[RawRow]:
    """The rows of a file; one that lacks a column of the task says so in its fault. Raises as `_lacks`."""
    required = task.columns(split)
    split_of_file = "train" if split in data.shares() else split
    for row in file.rows:
        if row.fault:
            yield row
        elif what := _lacks(required, row, data, file):
            yield RawRow(row.line, {}, what)
        elif _SPLIT_COLUMN not in required and (other := _other_split(row, split_of_file)):
            yield RawRow(row.line, {}, f"{_SPLIT_COLUMN} is {other}, and this is the {split_of_file} split")
        else:
            yield row


def _lacks(required: Sequence[str], row: RawRow, data: DataSection, file: RowFile) -> str:
    """What to say of a row without one of the columns; "" where it has them.

    Raises DataError for a file with a header that lacks it, and so all its rows.
    """
    missing = [column for column in required if column not in row.fields]
    what = _no_column(missing[0], row, data, file) if missing else ""
    if what and file.has_header:
        raise DataError(f"{file.where}:1: {what}")
    return what


def _no_column(column: str, row: RawRow, data: DataSection, file: RowFile) -> str:
    """That a row lacks a column, and what it has."""
    others = [old for old, new in data.rename.items() if new == column]
    also = f" (or {', '.join(map(repr, others))})" if others else ""
    what = f"no {'column' if file.has_header else 'key'} {column!r}{also}"
    return f"{what}{did_you_mean(column, row.fields) or ';'} it has {shown_names(row.fields)}"


def _other_split(row: RawRow, split: Split) -> str:
    """What a row says of its split, where that is another one: a file may hold all of them."""
    value = row.fields.get(_SPLIT_COLUMN)
    said = value.strip().lower() if isinstance(value, str) else ""
    return shown(value) if any(said in names for key, names in SPLIT_NAMES.items() if key != split) else ""


def _malformed(file: RowFile, faults: list[Fault], *remedies: Remedy) -> DataError:
    shown = [f"{file.place(line)} {what}" for line, what in faults[:_SHOWN_FAULTS]]
    if more := faults[_SHOWN_FAULTS:]:
        shown.append(f"{file.where}: {len(more)} more malformed rows ({_numbers(file, more)})")
    return DataError("\n".join(shown), Advice("correct the file"), *remedies)


def _rows_were(faults: list[Fault]) -> str:
    return "1 row was" if len(faults) == 1 else f"{len(faults):,} rows were"


def _numbers(file: RowFile, faults: list[Fault]) -> str:
    numbers = [str(line) for line, _ in faults[:_SHOWN_LINES]]
    more = ", …" if len(faults) > _SHOWN_LINES else ""
    return f"{file.unit[len(faults) > 1]} {', '.join(numbers)}{more}"
