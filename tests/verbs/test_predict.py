"""Rows in, rows out: in order, in every format, whatever interrupts, whichever adapters share the base."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import lorafit
from lorafit.adapters import BaseChoice, read_adapter, write_adapter
from lorafit.decoding import Sampling
from lorafit.errors import (
    AdapterError,
    DataError,
    InterruptedRunError,
    LorafitError,
    NotFoundError,
    RecipeError,
)
from lorafit.methods import AdapterTuning, BitFit, Full, LoRA, Method, Prefix
from lorafit.objectives.restored import restored_by_name
from lorafit.run.events import Event, Progress
from lorafit.run.files.partial import PartialFile
from lorafit.tasks import Task, make_task
from lorafit.training import ProcessGroup
from lorafit.verbs.predict import PredictOptions, RowPredictions
from tests.conftest import CONTEXTS
from tests.support.adapter_fixtures import make_adapter
from tests.support.stops import StopAt
from tests.support.tiny_encoders import save_encoder, sentences

LABELS = ("bad", "good", "so so")
REVIEWS = [{"id": str(i), "review": f"{text} {i}"} for i, (text, _) in enumerate(sentences(37))]
OF_LABELS: dict[str, Task] = {
    "classification": make_task("classification", text="review", label="stars", labels=LABELS),
    "multilabel": make_task("multilabel", text="review", label="stars", labels=LABELS),
    "regression": make_task("regression", text="review", label="stars"),
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("base"), "roberta")


@pytest.fixture(scope="module")
def labels(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels") / "adapter"
    make_adapter(encoder, folder, task=OF_LABELS["classification"])
    return folder


@pytest.fixture(scope="module")
def texts(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "adapter"
    make_adapter(gpt2_base, folder, task=make_task("generation", prompt="{name} of {place}:"))
    return folder


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "reviews.csv", REVIEWS)


def predict(
    adapters: Sequence[Path],
    rows: Path,
    output: Path,
    *,
    stop_at: int = 10**6,
    report: Callable[[Event], None] = lambda _: None,
    **options: Any,
) -> list[dict[str, Any]]:
    group = ProcessGroup(StopAt(stop_at))
    restored = restored_by_name(adapters, BaseChoice())
    chosen = PredictOptions(report, group, **{"batch_size": 1} | options)
    RowPredictions.of(restored, rows, chosen).write(output)
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def test_rows_keep_their_order_and_columns(labels: Path, reviews: Path, tmp_path: Path) -> None:
    found = predict([labels], reviews, tmp_path / "out.jsonl")
    assert [{"id": row["id"], "review": row["review"]} for row in found] == REVIEWS
    alone = lorafit.load(labels)
    asked: list[lorafit.api.Input] = [row["review"] for row in REVIEWS]
    assert [row["prediction"] for row in found] == alone.predict(asked)
    for row, probabilities in zip(found, alone.probabilities(asked), strict=True):
        assert row["probabilities"] == pytest.approx(probabilities, abs=2e-6)
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == max(probabilities, key=lambda name: probabilities[name])


@pytest.mark.parametrize("kind", OF_LABELS)
def test_every_kind_of_label(kind: str, encoder: Path, reviews: Path, tmp_path: Path) -> None:
    make_adapter(encoder, tmp_path / "adapter", task=OF_LABELS[kind])
    for row in predict([tmp_path / "adapter"], reviews, tmp_path / "out.jsonl"):
        match kind:
            case "classification":
                assert row["prediction"] in LABELS
            case "multilabel":
                likely = [name for name in LABELS if row["probabilities"][name] > 0.5]
                assert row["prediction"] == likely
            case "regression":
                assert isinstance(row["prediction"], float)
                assert "probabilities" not in row


def test_every_format_gives_the_same_answers(labels: Path, reviews: Path, tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in REVIEWS)
    tabs = "\n".join("\t".join(row) for row in [["id", "review"], *([*r.values()] for r in REVIEWS)])
    (tmp_path / "a.tsv").write_text(tabs)
    (tmp_path / "a.json").write_text(json.dumps(REVIEWS))
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbf" + reviews.read_bytes().replace(b"\n", b"\r\n"))
    parquet.write_table(pa.Table.from_pylist(REVIEWS), tmp_path / "a.parquet")
    first = predict([labels], reviews, tmp_path / "out.jsonl")
    for number, name in enumerate(("a.tsv", "a.json", "a.jsonl", "b.jsonl.gz", "c.csv", "a.parquet")):
        assert predict([labels], tmp_path / name, tmp_path / f"{number}.jsonl") == first, name


@pytest.mark.parametrize("stop_at", [1, 2, 3])
@pytest.mark.parametrize("torn", ["", '{"prediction": "goo', "\x00\x00\n"], ids=["whole", "torn", "zeros"])
def test_what_was_stopped_goes_on_and_is_the_same(
    labels: Path, reviews: Path, tmp_path: Path, stop_at: int, torn: str
) -> None:
    predict([labels], reviews, tmp_path / "whole.jsonl")
    output = tmp_path / "out.jsonl"
    with pytest.raises(InterruptedRunError, match="of 37 rows are done"):
        predict([labels], reviews, output, stop_at=stop_at)
    partial = tmp_path / "out.jsonl.partial"
    assert not output.exists()
    with partial.open("a") as stream:
        stream.write(torn)
    done: list[int] = []

    def count(event: Event) -> None:
        match event:
            case Progress(_, number, _):
                done.append(number)

    num_before = 16 * (stop_at - 1)
    predict([labels], reviews, output, report=count)
    assert done == [*range(num_before + 1, 38)]
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial.exists()


def test_a_line_torn_within_a_batch_changes_no_number(labels: Path, reviews: Path, tmp_path: Path) -> None:
    """Which rows are computed together does not depend on where it goes on."""
    predict([labels], reviews, tmp_path / "whole.jsonl", batch_size=2)
    output, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    with pytest.raises(InterruptedRunError):
        predict([labels], reviews, output, batch_size=2, stop_at=2)
    lines = partial.read_text().splitlines(keepends=True)
    assert len(lines) == 33
    for length in (2, 7, 20):
        partial.write_text("".join(lines[:length]))
        predict([labels], reviews, output, batch_size=2)
        assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
        output.unlink()


def test_other_adapters_rows_or_settings_do_not_go_on(
    labels: Path, encoder: Path, reviews: Path, tmp_path: Path
) -> None:
    make_adapter(encoder, tmp_path / "adapter", task=OF_LABELS["classification"], strength=0.3)
    others = write_rows(tmp_path / "others.csv", REVIEWS[1:])
    output = tmp_path / "out.jsonl"
    with pytest.raises(InterruptedRunError):
        predict([labels], reviews, output, stop_at=2)
    before = (tmp_path / "out.jsonl.partial").read_bytes()
    for adapter, rows, size, what in (
        (tmp_path / "adapter", reviews, 1, "adapters"),
        (labels, others, 1, "rows"),
        (labels, reviews, 2, "settings"),
    ):
        with pytest.raises(RecipeError, match=f"was begun with other {what}; give the same again"):
            predict([adapter], rows, output, batch_size=size)
    assert (tmp_path / "out.jsonl.partial").read_bytes() == before


def test_nothing_is_overwritten(labels: Path, reviews: Path, tmp_path: Path) -> None:
    for output in (reviews, tmp_path / "out.jsonl"):
        output.touch()
        with pytest.raises(RecipeError, match=r"already exists; choose another `output`"):
            predict([labels], reviews, output)


def test_two_processes_do_not_write_the_same_answers(labels: Path, reviews: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with PartialFile(output, {}).locked(), pytest.raises(LorafitError, match=r"process \d+ .* works on it"):
        predict([labels], reviews, output)
    assert not any(tmp_path.glob("out.jsonl*"))
    predict([labels], reviews, output)
    assert [path.name for path in tmp_path.glob("out.jsonl*")] == ["out.jsonl"]


@pytest.mark.parametrize(
    ("sampling", "differ"),
    [
        (Sampling(), False),
        (Sampling("greedy"), False),
        (Sampling(num_beams=2, max_new_tokens=3), False),
        (Sampling(temperature=2.0, seed=1, max_new_tokens=8), True),
    ],
    ids=str,
)
def test_texts_do_not_depend_on_their_batch(
    texts: Path, tmp_path: Path, sampling: Sampling, differ: bool
) -> None:
    places = [{"name": "name : Cotto", "place": c.rpartition(" : ")[2]} for c in CONTEXTS[:12]]
    rows = write_rows(tmp_path / "rows.csv", places)
    found = [
        predict([texts], rows, tmp_path / f"{size}.jsonl", sampling=sampling, batch_size=size)
        for size in (1, 5)
    ]
    assert found[0] == found[1]
    asked: list[lorafit.api.Input] = [*places]
    assert [row["prediction"] for row in found[0]] == lorafit.load(texts).predict(asked, sampling)
    same = {row["place"]: set[str]() for row in places}
    for row in found[0]:
        same[row["place"]].add(row["prediction"])
    assert any(len(each) > 1 for each in same.values()) is differ


METHODS: list[Method] = [
    LoRA(r=4, alpha=8.0, targets=("all-linear",)),
    LoRA(r=2, alpha=4.0, also_train=("*.bias",)),
    Full(),
    BitFit(),
    AdapterTuning(size=4),
    Prefix(length=3, hidden=0),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_several_adapters_answer_as_each_alone(
    method: Method, encoder: Path, labels: Path, reviews: Path, tmp_path: Path
) -> None:
    task = OF_LABELS["classification"]
    folders = [labels, tmp_path / "b" / "adapter", tmp_path / "c" / "adapter"]
    make_adapter(encoder, folders[1], method, task)
    make_adapter(encoder, folders[2], task=task, strength=0.5)
    restored = restored_by_name(folders, BaseChoice())
    names = list(restored)
    found = predict(folders, reviews, tmp_path / "out.jsonl")
    for number, (name, folder) in enumerate(zip(names, folders, strict=True)):
        alone = predict([folder], reviews, tmp_path / f"{number}.jsonl")
        for row, own in zip(found, alone, strict=True):
            assert row[f"prediction_{name}"] == own["prediction"]
            assert row[f"probabilities_{name}"] == own["probabilities"]


def test_adapters_share_the_weights_of_their_base(encoder: Path, labels: Path, tmp_path: Path) -> None:
    make_adapter(encoder, tmp_path / "b", task=OF_LABELS["classification"], strength=0.5)
    one, other = restored_by_name([labels, tmp_path / "b"], BaseChoice()).values()
    base, trained = other.model.net.base_model.state_dict(), other.model.trained()
    ours = one.model.net.base_model.state_dict()
    for name, tensor in base.items():
        is_own = f"{other.model.net.base_model_prefix}.{name}" in trained
        assert (tensor.data_ptr() == ours[name].data_ptr()) is not is_own, name


def test_adapters_of_other_bases_or_tasks_are_refused(
    encoder: Path, labels: Path, texts: Path, tmp_path: Path
) -> None:
    task = OF_LABELS["classification"]
    other_base = save_encoder(tmp_path / "base", "roberta", seed=1)
    make_adapter(other_base, tmp_path / "a", task=task)
    make_adapter(encoder, tmp_path / "b", task=task.model_copy(update={"labels": ("x", "y", "z")}))
    make_adapter(encoder, tmp_path / "c", task=OF_LABELS["regression"])
    for folder, said in (
        (tmp_path / "a", "was trained on the base"),
        (tmp_path / "b", r"its task has labels \['x', 'y', 'z'\], and that of"),
        (tmp_path / "c", "its task has kind 'regression'"),
        (texts, "was trained on the base"),
        (labels, "is given twice"),
    ):
        with pytest.raises(RecipeError, match=said) as caught:
            restored_by_name([labels, folder], BaseChoice())
        assert "\n" not in str(caught.value)
    with pytest.raises(NotFoundError):
        restored_by_name([labels, tmp_path / "none"], BaseChoice())
    shutil.copytree(labels, tmp_path / "damaged")
    (tmp_path / "damaged" / "adapter.safetensors").write_bytes(b"")
    with pytest.raises(AdapterError):
        restored_by_name([labels, tmp_path / "damaged"], BaseChoice())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,reveiw\n1,a\n2,b\n", "rows.csv:1: no column 'reveiw'"),
        ('review\na\n""\n', "rows.csv:3: review: empty"),
        ("id,review\n1,a\n2\n", "rows.csv:3: 1 field between commas, expected 2 (id, review)"),
        ("review,prediction\na,b\n", "rows.csv: has a column 'prediction', and so are the answers called"),
        ("", "rows.csv: is empty"),
    ],
)
def test_bad_rows_are_said_before_anything_is_loaded(
    labels: Path, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        predict([labels], tmp_path / "rows.csv", tmp_path / "out.jsonl")
    wanted = said.replace("no column 'reveiw'", "no column 'review'; did you mean 'reveiw'?")
    assert str(caught.value).startswith(f"{tmp_path}/{wanted}")
    assert "on_bad_row" not in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def test_columns_go_by_the_names_of_the_file(encoder: Path, tmp_path: Path) -> None:
    """As in training: `data.rename` and `data.columns` say what a column of a file means."""
    task = OF_LABELS["classification"]
    card = make_adapter(encoder, tmp_path / "adapter", task=task)
    data = card.data.model_copy(update={"rename": {"what they said": "review"}})
    read = read_adapter(tmp_path / "adapter")
    write_adapter(tmp_path / "other", card.model_copy(update={"data": data}), read.tensors, read.fingerprint)
    rows = write_rows(tmp_path / "rows.csv", [{"what they said": row["review"]} for row in REVIEWS[:3]])
    found = predict([tmp_path / "other"], rows, tmp_path / "out.jsonl")
    assert [row["what they said"] for row in found] == [row["review"] for row in REVIEWS[:3]]
    assert all("review" not in row for row in found)


def test_a_file_that_could_not_be_written_is_said_first(labels: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", [{"review": "a\tb"}])
    with pytest.raises(DataError, match=r"out.tsv: row 1: 'a\\tb' has a tab"):
        predict([labels], rows, tmp_path / "out.tsv")
    assert not list(tmp_path.glob("out*"))
