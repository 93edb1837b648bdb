"""GLUE (Wang et al. 2019): nine tasks from the Hugging Face hub, from the GLUE download, or from files of one's own.

Labels in the order of the hub's `nyu-mll/glue`; sizes are those of its training splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafit.data import LabelRow, Split
from lorafit.data.tables import Column, Row
from lorafit.errors import NotFoundError, RecipeError
from lorafit.files import local_path
from lorafit.recipe import DataSection
from lorafit.tasks.base import Task
from lorafit.tasks.labels import LabelTask, Source

HUB_ID = "nyu-mll/glue"
HUB_REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
_HUB_SPLITS: dict[Split, str] = {"train": "train", "valid": "validation", "test": "test"}
_FILES: dict[Split, str] = {"train": "train", "valid": "dev", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Glue(LabelTask):
    """A task of GLUE. `folder` is its name in the GLUE download, `parts` those of its valid and test splits."""

    folder: str
    parts: tuple[str, ...] = ("",)
    submission_names: tuple[str, ...]  # the file of each part on gluebenchmark.com
    submits_names: bool = False  # labels by name, not by number

    def splits(self, data: DataSection) -> list[Split]:
        """What a run needs: train and valid. The labels of the test split are not public."""
        given: list[Split] = [s for s in ("train", "valid") if data.dir or getattr(data, s)]
        return given if _names_a_place(data) else ["train", "valid"]

    def count_train_rows(self, data: DataSection) -> int | None:
        """Training rows of local files; None for those of the hub."""
        return len(self.read(data, "train")) if data.train or data.dir else None

    def sources(self, data: DataSection, split: Split) -> Iterator[Source]:
        """`data.<split>`, else the split's files in `data.dir`, else the hub where no place is named at all."""
        if named := self.named_source(data, split):
            yield named
        elif data.dir is not None:
            yield from self._folder_sources(local_path(data.dir), split)
        elif _names_a_place(data):
            raise NotFoundError(f"[data]: no place is given for the {split} split; set data.{split}=FILE")
        else:
            yield from self._hub_sources(split)

    def _folder_sources(self, root: Path, split: Split) -> Iterator[Source]:
        """TSV files of the GLUE download, or parquet files in the layout of the hub."""
        if not root.is_dir():
            raise NotFoundError(f"{root}: no such folder (data.dir)")
        for part in self._parts(split):
            name = f"{_FILES[split]}{part and '_' + part}.tsv"
            shards = sorted((root / self.name).glob(f"{_hub_split(split, part)}-*.parquet"))
            paths = [path for path in (root / self.folder / name, root / name) if path.is_file()][
                :1
            ] or shards
            if not paths:
                raise NotFoundError(
                    f"{root / self.folder / name}: no such file (data.dir, {split} split); data.dir is the folder of "
                    f"the GLUE download, which holds {self.folder}/{name}"
                )
            for path in paths:
                yield self.file_source(path, split, part)

    def _hub_sources(self, split: Split) -> Iterator[Source]:
        for part in self._parts(split):
            name = _hub_split(split, part)
            yield Source(f"{HUB_ID}/{self.name}/{name}", _hub_rows(self.name, name), part)

    def _parts(self, split: Split) -> tuple[str, ...]:
        return ("",) if split == "train" else self.parts

    def submission(self, examples: Sequence[LabelRow], predictions: Sequence[float]) -> Mapping[str, str]:
        """File name -> content, `index<tab>prediction` lines, as gluebenchmark.com takes them.

        Raises RecipeError for a task of two parts whose examples are not of these parts.
        """
        files = {}
        for part, name in zip(self.parts, self.submission_names, strict=True):
            chosen = [p for e, p in zip(examples, predictions, strict=True) if e.part == part]
            if not chosen:
                raise RecipeError(
                    f"--glue-submission: there are no {part} examples; a submission needs the whole test split of "
                    f"{self.name}, so leave --data out"
                )
            lines = [f"{i}\t{self._submitted(label)}" for i, label in enumerate(chosen)]
            files[name] = "\n".join(["index\tprediction", *lines]) + "\n"
        return files

    def _submitted(self, label: float) -> str:
        if self.labels is None:
            low, high = self.score_range
            return f"{min(max(label, low), high):.3f}"
        return self.labels[int(label)] if self.submits_names else str(int(label))


def glue_submission(
    task: Task, examples: Sequence[LabelRow], predictions: Sequence[float]
) -> Mapping[str, str]:
    """`Glue.submission` of a task. Raises RecipeError for one that is not of GLUE."""
    if not isinstance(task, Glue):
        raise RecipeError(f"{task.name} is not a task of GLUE, so there is no submission to write")
    return task.submission(examples, predictions)


def _names_a_place(data: DataSection) -> bool:
    return any((data.dir, data.train, data.valid, data.test))


def _hub_split(split: Split, part: str) -> str:
    return _HUB_SPLITS[split] + (part and "_" + part)


def _hub_rows(config: str, split: str) -> Iterator[Row]:
    """Rows from the hub, or from its cache. Raises NotFoundError when neither has them."""
    import datasets

    datasets.disable_progress_bars()
    try:
        rows = datasets.load_dataset(HUB_ID, config, split=split, revision=HUB_REVISION)
    except Exception as error:  # datasets, huggingface_hub and httpx each have errors of their own
        raise NotFoundError(
            f"{HUB_ID}/{config}: not in the Hugging Face cache, and the hub gave none ({type(error).__name__}); check "
            f"the network, or name a local copy: --set data.dir=FOLDER for the GLUE download, or data.train=FILE and "
            f"data.valid=FILE (tsv, csv, jsonl or parquet)"
        ) from error
    for number, fields in enumerate(rows, start=1):
        yield Row(number, fields)


_LABEL = Column("label")
_SENTENCE = (Column("sentence"),)
_PAIR = (Column("sentence1"), Column("sentence2"))

GLUE_TASKS: tuple[Glue, ...] = (
    Glue(
        name="cola",
        folder="CoLA",
        texts=_SENTENCE,
        label=_LABEL,
        bare_header=("source", "label", "star", "sentence"),
        labels=("unacceptable", "acceptable"),
        output="label",
        metrics=("matthews", "accuracy"),
        headline="matthews",
        num_train_rows=8_551,
        submission_names=("CoLA.tsv",),
    ),
    Glue(
        name="sst2",
        folder="SST-2",
        texts=_SENTENCE,
        label=_LABEL,
        labels=("negative", "positive"),
        output="label",
        metrics=("accuracy",),
        headline="accuracy",
        num_train_rows=67_349,
        submission_names=("SST-2.tsv",),
    ),
    Glue(
        name="mrpc",
        folder="MRPC",
        texts=(Column("sentence1", ("#1 String",)), Column("sentence2", ("#2 String",))),
        label=Column("label", ("Quality",)),
        labels=("not_equivalent", "equivalent"),
        output="label",
        metrics=("accuracy", "f1"),
        headline="accuracy",
        num_train_rows=3_668,
        submission_names=("MRPC.tsv",),
    ),
    Glue(
        name="stsb",
        folder="STS-B",
        texts=_PAIR,
        label=Column("label", ("score",)),
        output="score",
        score_range=(0.0, 5.0),
        metrics=("pearson", "spearman"),
        headline="pearson",
        num_train_rows=5_749,
        submission_names=("STS-B.tsv",),
    ),
    Glue(
        name="qqp",
        folder="QQP",
        texts=(Column("question1"), Column("question2")),
        label=Column("label", ("is_duplicate",)),
        labels=("not_duplicate", "duplicate"),
        output="label",
        metrics=("accuracy", "f1"),
        headline="accuracy",
        num_train_rows=363_846,
        submission_names=("QQP.tsv",),
    ),
    Glue(
        name="mnli",
        folder="MNLI",
        texts=(Column("premise", ("sentence1",)), Column("hypothesis", ("sentence2",))),
        label=Column("label", ("gold_label",)),
        labels=("entailment", "neutral", "contradiction"),
        output="label",
        metrics=("accuracy",),
        headline="matched.accuracy",
        num_train_rows=392_702,
        parts=("matched", "mismatched"),
        submission_names=("MNLI-m.tsv", "MNLI-mm.tsv"),
        submits_names=True,
    ),
    Glue(
        name="qnli",
        folder="QNLI",
        texts=(Column("question"), Column("sentence")),
        label=_LABEL,
        labels=("entailment", "not_entailment"),
        output="label",
        metrics=("accuracy",),
        headline="accuracy",
        num_train_rows=104_743,
        submission_names=("QNLI.tsv",),
        submits_names=True,
    ),
    Glue(
        name="rte",
        folder="RTE",
        texts=_PAIR,
        label=_LABEL,
        labels=("entailment", "not_entailment"),
        output="label",
        metrics=("accuracy",),
        headline="accuracy",
        num_train_rows=2_490,
        submission_names=("RTE.tsv",),
        submits_names=True,
    ),
    Glue(
        name="wnli",
        folder="WNLI",
        texts=_PAIR,
        label=_LABEL,
        labels=("not_entailment", "entailment"),
        output="label",
        metrics=("accuracy",),
        headline="accuracy",
        num_train_rows=635,
        submission_names=("WNLI.tsv",),
    ),
)
