"""What holds for every task and every preset: the registries themselves are gone through."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorafit.data import ChatRow, DocumentRow, RawRow, TextRow
from lorafit.data.readers import READERS
from lorafit.metrics import METRICS
from lorafit.recipe import SPLITS, DataSection
from lorafit.recipe.reference import meanings
from lorafit.tasks import (
    PRESETS,
    SECTIONS,
    TASKS,
    Chat,
    ClassTask,
    Task,
    load_rows,
    make_data,
    make_task,
    read_task,
)

NAMES = list(SECTIONS)


def resolved(name: str) -> Task:
    """A task with all that it would take from its rows."""
    has_classes = issubclass(SECTIONS[name], ClassTask) and name not in PRESETS
    labels = {"labels": ("a", "b")} if has_classes else {}
    return make_task(name, **labels).resolve(iter(()))


def test_every_name_means_one_thing() -> None:
    assert not TASKS.keys() & PRESETS.keys()
    assert SECTIONS.keys() == TASKS.keys() | PRESETS.keys()
    assert all(SECTIONS[name] is TASKS[preset.kind] for name, preset in PRESETS.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_task_comes_back_from_its_options(name: str) -> None:
    for task in (make_task(name), resolved(name)):
        options = json.loads(json.dumps(task.options()))
        assert options["name"] == name
        assert options["kind"] == task.kind
        assert read_task(options) == task


@pytest.mark.parametrize("name", NAMES)
def test_resolving_twice_is_resolving_once(name: str) -> None:
    assert resolved(name).resolve(iter(())) == resolved(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_what_a_head_and_a_score_need(name: str) -> None:
    task = resolved(name)
    assert task.headline_score
    assert (task.num_outputs is None) == (task.output == "text")
    assert task.num_outputs == (1 if task.labels is None else len(task.labels)) or task.output == "text"
    kinds = [(METRICS[metric].kind, *METRICS[metric].also) for metric in task.metrics or ()]
    assert all(task.output in each for each in kinds)
    assert task.columns("train") or task.input_columns
    assert set(task.columns("test")) <= set(task.columns("train"))


@pytest.mark.parametrize("name", NAMES)
def test_every_key_of_a_task_is_described(name: str) -> None:
    texts = meanings(SECTIONS[name])
    for key in SECTIONS[name].model_fields:
        assert texts.get(key, "").endswith("."), key


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_values_that_its_task_takes(name: str) -> None:
    preset, task, data = PRESETS[name], make_task(name), make_data(name)
    assert {key: getattr(task, key) for key in preset.task} == preset.task
    assert {key: getattr(data, key) for key in preset.data} == preset.data
    assert data.format is None or data.format in READERS
    assert preset.size.num_train_rows > 0
    assert task.headline_score.rpartition(".")[2] == (task.metrics or ("bleu",))[0]
    assert task.resolve(iter(())) == task  # nothing is left to be found


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_original_data(name: str) -> None:
    rows = load_rows(make_task(name), DataSection(dir="/nowhere"))
    assert rows.splits == ["train", "valid", "test"]
    assert load_rows(make_task(name), make_data(name)).splits == ["train", "valid", "test"]
    assert rows.num_train_rows() is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=[HealthCheck.too_slow])  # a first run makes hypothesis' table of characters
@given(data=st.data())
def test_any_row_is_parsed_or_malformed(name: str, data: st.DataObject) -> None:
    """Rows of any JSON values, any of the columns missing; a part is text however it is written."""
    task = resolved(name).model_copy(update={"part": "part"})
    columns = st.sampled_from([*task.columns("train"), "other"])
    fields = data.draw(st.dictionaries(columns, JSON))
    for split in SPLITS:
        try:
            row = task.parse(RawRow(1, fields), split)
        except ValueError:
            continue
        assert isinstance(row.part, str)
        written = json.dumps(row.to_json())
        assert json.dumps(json.loads(written)) == written
        task.key(RawRow(1, fields))


@pytest.mark.parametrize("options", [{}, {"kind": "unknown"}, {"kind": 3}, {"kind": "regression", "x": 1}])
def test_options_of_no_task(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"task\."):
        read_task({"name": "x", **options})


@pytest.mark.parametrize("name", NAMES)
def test_an_input_is_a_row_without_its_answer(name: str) -> None:
    task = resolved(name)
    fields: dict[str, object] = {column: f"text of {column}" for column in task.columns("test")}
    if isinstance(task, Chat):
        fields["messages"] = [{"role": "user", "content": "Hi"}]
    row = task.parse_input(fields)
    assert row == task.parse_input({**fields, "more": object()})
    if isinstance(row, TextRow):
        assert row.completion == ""
        assert task.parse_input(row.prompt) == row
    elif isinstance(row, ChatRow | DocumentRow):
        assert row == task.parse_input("Hi" if isinstance(row, ChatRow) else row.text)
    else:
        assert row.label is None
        if len(row.texts) == 1:
            [text] = row.texts.values()
            assert task.parse_input(text) == row
        else:
            with pytest.raises(ValueError, match="this is one text"):
                task.parse_input("alone")
    for malformed in ({}, {"more": "x"}, "", dict.fromkeys(fields, None)):
        with pytest.raises(ValueError, match=r"."):
            task.parse_input(malformed)
