"""Texts are scored in parts, a group without any reference costs no run its scores, and the format is an option."""

from __future__ import annotations

from pathlib import Path

from lorafit.data import TextRow
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import score_texts
from lorafit.models import FAMILIES, load_config, load_tokenizer
from lorafit.objectives import BaseFacts, Generation, Prediction, Settings, objective_for
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import Task, make_task

ROWS = [
    TextRow("a", "a b c d", "unseen"),
    TextRow("b", "", "seen"),
    TextRow("c", "x y z", "seen"),
    TextRow("b", " ", "seen"),
    TextRow("c", "", "seen"),
]
ANSWERS = [Prediction(0, "a b c"), Prediction(1, "whatever"), Prediction(2, "x y")]


def objective(task: Task, base: Path, metrics: tuple[str, ...] | None = None) -> Generation:
    facts = BaseFacts(load_config(str(base)), FAMILIES["gpt2"])
    settings = Settings(
        DataSection(max_length=16), DecodeSection(max_new_tokens=8), EvalSection(metrics=metrics)
    )
    made = objective_for(task, facts, settings)
    assert isinstance(made, Generation)
    return made


def test_a_text_without_references_is_left_out_and_said(gpt2_base: Path) -> None:
    webnlg = objective(make_task("webnlg"), gpt2_base, ("ter", "bleu"))
    scores = webnlg.score(ROWS, ANSWERS)
    assert list(scores.parts) == ["all", "seen", "unseen"]
    wanted = score_texts(
        SCORERS["generation-eval"],
        ["a b c", "x y"],
        [["a b c d"], ["x y z", ""]],
        metrics=["ter", "bleu"],
        splits=["unseen", "seen"],
    )
    assert scores.parts == wanted.parts
    assert scores.notes[-1] == "1 of 3 texts have no reference but empty ones and are not scored"
    lines = webnlg.lines(ROWS, ANSWERS)
    assert lines[2] == {"input": "c", "references": ["x y z", ""], "prediction": "x y", "part": "seen"}


def test_nothing_is_said_where_all_have_references(gpt2_base: Path) -> None:
    rows = [row for row in ROWS if row.prompt != "b"]
    scores = objective(make_task("e2e"), gpt2_base, ("bleu",)).score(rows, [ANSWERS[0], ANSWERS[2]])
    assert not any("reference" in note for note in scores.notes)


def test_what_stands_around_the_texts_is_an_option(gpt2_base: Path) -> None:
    """The paper's format, and one without separator and blank: ids of the whole are those of the parts."""
    tokenizer = load_tokenizer(str(gpt2_base))
    end = tokenizer.eos_token_id
    row = TextRow("name : Aromi", "Aromi serves food .")
    prompt, completion = (
        tokenizer(text, add_special_tokens=False).input_ids for text in (row.prompt, row.completion)
    )
    with_blank = tokenizer(" " + row.completion, add_special_tokens=False).input_ids
    [paper] = objective(make_task("e2e"), gpt2_base).encoder(tokenizer).encode([row]).examples
    assert (paper.prompt_ids, paper.completion_ids) == ((*prompt, end), (*with_blank, end))
    bare = make_task("e2e", separator="none", completion_prefix="")
    [plain] = objective(bare, gpt2_base).encoder(tokenizer).encode([row]).examples
    assert (plain.prompt_ids, plain.completion_ids) == (tuple(prompt), (*completion, end))
    assert plain.targets(512) == list(plain.completion_ids)


def test_what_is_cut_is_counted(gpt2_base: Path) -> None:
    """16 tokens: a row that fits, one that loses its end, and one whose context alone is longer."""
    tokenizer = load_tokenizer(str(gpt2_base))
    texts = [("a", "b"), ("a", "food " * 40), ("food " * 40, "b")]
    encoder = objective(make_task("e2e"), gpt2_base).encoder(tokenizer)
    encoded = encoder.encode([TextRow(*pair) for pair in texts])
    assert (list(encoded.cut), list(encoded.without_target)) == ([1, 2], [2])
    assert encoded.lengths[0] < 16 < min(encoded.lengths[1:])
    assert [len(example.targets(16)) > 0 for example in encoded.examples] == [True, True, False]
