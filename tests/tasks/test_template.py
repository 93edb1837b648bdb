"""A column's name or a template of columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafit.tasks.template import parse_template


@pytest.mark.parametrize(
    ("text", "columns", "rendered"),
    [
        ("question", ("question",), "Who?"),
        ("#1 String", ("#1 String",), "first"),
        ("Q: {question}\nA:", ("question",), "Q: Who?\nA:"),
        ("{question} {#1 String} {question}", ("question", "#1 String"), "Who? first Who?"),
        ('{{"q": "{question}"}}', ("question",), '{"q": "Who?"}'),
        ("{number}", ("number",), "3.5"),
    ],
)
def test_a_template(text: str, columns: tuple[str, ...], rendered: str) -> None:
    template = parse_template(text)
    assert template.columns == columns
    assert template.render({"question": "Who?", "#1 String": "first", "number": 3.5}) == rendered


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Q: {question", "is no template"),
        ("Q: question}", "write {{ and }} for braces"),
        ("{}", "only the name of a column may stand between braces"),
        ("{a!r}", "only the name of a column"),
        ("{a:>10}", "only the name of a column"),
        ("{{a}}", "names no column"),
    ],
)
def test_what_is_no_template(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"template|column") as caught:
        parse_template(text)
    assert words in str(caught.value)


@given(value=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_field_is_put_in_as_it_is(value: str) -> None:
    assert parse_template("<{a}>").render({"a": value}) == f"<{value}>"
