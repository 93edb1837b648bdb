"""Rows -> examples, block by block: the next block is tokenized while the last one is put away."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar, overload

import tokenizers
import transformers
from transformers import PreTrainedTokenizerBase

from lorafit import cache
from lorafit.cache import Key
from lorafit.data.flat import NumberWriter, Records, RecordWriter, read_numbers
from lorafit.data.stored import StoredRows
from lorafit.files import JsonObject
from lorafit.hashes import source_hash
from lorafit.models.identity import loaded_tokenizer_hash
from lorafit.models.vocabulary import Vocabulary
from lorafit.objectives.encoded import Encoded, Limit

_EXAMPLES = "examples"
_NUMBERS = ("lengths", "cut", "without_target", "by_row")
BLOCK_ROWS = 4096  # tokenized together; the examples do not depend on it


class FlatExample(Protocol):
    """An example that can be written as rows of 32-bit integers, and read again."""

    def columns(self) -> Sequence[Sequence[int]]:
        """As many rows for every example of a class."""
        ...

    @classmethod
    def of_columns(cls, columns: Sequence[Sequence[int]]) -> Self: ...


RowT = TypeVar("RowT")
ExampleT = TypeVar("ExampleT", bound=FlatExample)


@dataclass(frozen=True)
class Block(Generic[ExampleT]):
    """What some rows became; indices count the examples of the block.

    `by_row`: the number of examples of each row, where it may be another than one. `counts`: of what the encoder has
    something to say; `refused`: what is wrong with rows that became nothing.
    """

    examples: Sequence[ExampleT]
    lengths: Sequence[int]
    cut: Sequence[int] = ()
    without_target: Sequence[int] = ()
    faults: Mapping[int, str] = field(default_factory=dict)
    by_row: Sequence[int] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    refused: Sequence[str] = ()

    @property
    def known(self) -> list[ExampleT]:
        """The examples of which every token has a row in the base's embedding."""
        return [example for index, example in enumerate(self.examples) if index not in self.faults]


@dataclass
class Tally:
    """What an encoder judges all rows by, once they are encoded."""

    num_rows: int = 0
    num_examples: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)

    def add(self, num_rows: int, block: Block[Any]) -> None:
        """Count a block behind the others."""
        self.faults |= {self.num_examples + index: fault for index, fault in block.faults.items()}
        self.num_rows += num_rows
        self.num_examples += len(block.examples)
        self.counts.update(block.counts)
        self.refused += block.refused


class Encoder(ABC, Generic[RowT, ExampleT]):
    """Needs a tokenizer and no net: planning and `data show` use it too."""

    tokenizer: PreTrainedTokenizerBase
    limit: Limit
    vocabulary: Vocabulary  # the tokens, and those that the base's embedding has no row for

    @property
    @abstractmethod
    def example_type(self) -> type[ExampleT]:
        """The class of the examples."""

    @abstractmethod
    def settings(self) -> JsonObject:
        """What decides the examples besides rows, tokenizer and limit."""

    @abstractmethod
    def block(self, rows: Sequence[RowT]) -> Block[ExampleT]:
        """One example a row, in order, or several where the objective splits rows.

        Raises DataError where a token that stands in every row has no row of the embedding.
        """

    def judge(self, tally: Tally) -> list[str]:
        """What is to be said of all rows together. Raises DataError where they cannot be taken."""
        del tally
        return []

    @abstractmethod
    def part_lengths(self, example: ExampleT) -> Mapping[str, int]:
        """Tokens of each part of an example, before anything is cut."""

    @abstractmethod
    def show(self, row: RowT, example: ExampleT) -> Mapping[str, Any]:
        """A row as the model sees it, as JSON: its texts, its ids, what is learned of it."""

    def encode(self, rows: Sequence[RowT]) -> Encoded[ExampleT]:
        """The examples of all rows. Those of stored rows are stored too, and the next process finds them there.

        Raises as `block` and `judge`.
        """
        match rows:
            case StoredRows():
                return self._encode_stored(rows)
        examples: list[ExampleT] = []
        numbers: dict[str, list[int]] = {name: [] for name in _NUMBERS}
        tally = Tally()
        for count, block in self._blocks(_parts(rows)):
            for name, values in _numbers(block, len(examples)).items():
                numbers[name] += values
            examples += block.examples
            tally.add(count, block)
        return Encoded(examples, limit=self.limit, faults=tally.faults, notes=self.judge(tally), **numbers)

    def _encode_stored(self, rows: StoredRows[RowT]) -> Encoded[ExampleT]:
        def read(folder: Path, about: JsonObject) -> Encoded[ExampleT]:
            examples = StoredExamples(Records(folder, _EXAMPLES), self.example_type)
            numbers = {name: read_numbers(folder / name, "q") for name in _NUMBERS}
            faults = {int(index): fault for index, fault in about["faults"].items()}
            return Encoded(examples, limit=self.limit, faults=faults, notes=about["notes"], **numbers)

        key = self._key(rows)
        if key is None:
            return cache.make_for_now(lambda folder: self._write(rows, folder), read)
        found = cache.find(key, read)
        return cache.make(key, lambda folder: self._write(rows, folder), read) if found is None else found

    def _write(self, rows: StoredRows[RowT], folder: Path) -> JsonObject:
        records, tally = RecordWriter(folder, _EXAMPLES), Tally()
        writers = {name: NumberWriter(folder / name, "q") for name in _NUMBERS}
        for count, block in self._blocks(rows.blocks(BLOCK_ROWS)):
            for name, values in _numbers(block, tally.num_examples).items():
                writers[name].extend(values)
            records.extend([_record(example) for example in block.examples])
            tally.add(count, block)
        records.close()
        for writer in writers.values():
            writer.close()
        return {"notes": self.judge(tally), "faults": tally.faults}

    def _blocks(self, parts: Iterator[Sequence[RowT]]) -> Iterator[tuple[int, Block[ExampleT]]]:
        """Each part's number of rows, and what it became. The next part is at work meanwhile: tokenizers let go of the
        interpreter."""
        waiting: tuple[int, Future[Block[ExampleT]]] | None = None
        with ThreadPoolExecutor(1) as pool:
            for part in parts:
                before, waiting = waiting, (len(part), pool.submit(self.block, part))
                if before is not None:
                    yield before[0], before[1].result()
            if waiting is not None:
                yield waiting[0], waiting[1].result()

    def _key(self, rows: StoredRows[RowT]) -> Key | None:
        """None where it is not known what decides the ids: the tokenizer is written in Python."""
        tokenizer = loaded_tokenizer_hash(self.tokenizer)
        if tokenizer is None:
            return None
        return Key(
            "token ids",
            rows.key.of,
            {
                "rows": rows.key.name,
                "tokenizer": tokenizer,
                "max_length": self.limit.num_tokens,
                "vocabulary": self.vocabulary.num_rows,
                "encoder": [type(self).__name__, self.settings()],
                "program": source_hash("data", "objectives", "models"),
                "libraries": [tokenizers.__version__, transformers.__version__],
            },
        )


def _parts(rows: Sequence[RowT]) -> Iterator[Sequence[RowT]]:
    return (rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS))


class StoredExamples(Sequence[ExampleT]):
    """Examples in a file, each read when it is asked for."""

    def __init__(self, records: Records, example_type: type[ExampleT]) -> None:
        self._records, self._of_columns = records, example_type.of_columns

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> ExampleT: ...
    @overload
    def __getitem__(self, index: slice) -> list[ExampleT]: ...
    def __getitem__(self, index: int | slice) -> ExampleT | list[ExampleT]:
        match index:
            case slice():
                return [self._example(record) for record in self._records[index]]
        return self._example(self._records[index])

    def __iter__(self) -> Iterator[ExampleT]:
        return map(self._example, self._records)

    def _example(self, record: bytes) -> ExampleT:
        numbers = array("i")
        numbers.frombytes(record)
        num_columns = numbers[0]
        ends = itertools.accumulate(numbers[1 : 1 + num_columns], initial=1 + num_columns)
        return self._of_columns([numbers[a:b] for a, b in itertools.pairwise(ends)])


def _record(example: FlatExample) -> bytes:
    """The number of columns, their lengths, and then the columns."""
    columns = example.columns()
    return array("i", [len(columns), *map(len, columns), *itertools.chain(*columns)]).tobytes()


def _numbers(block: Block[Any], num_before: int) -> dict[str, Sequence[int]]:
    """The fields of `Encoded` that are numbers, where so many examples come before the block."""
    return {
        "lengths": block.lengths,
        "cut": [num_before + index for index in block.cut],
        "without_target": [num_before + index for index in block.without_target],
        "by_row": block.by_row,
    }
