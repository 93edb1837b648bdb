"""Generated texts are scored in parts, and a group without any reference costs no run its scores."""

from __future__ import annotations

from lorafit.evaluation import Generated, score_generated
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import score_texts
from lorafit.tasks import ReferenceGroup

GENERATED = [
    Generated(ReferenceGroup("a", ("a b c d",), "unseen"), "a b c"),
    Generated(ReferenceGroup("b", ("", " "), "seen"), "whatever"),
    Generated(ReferenceGroup("c", ("x y z", ""), "seen"), "x y"),
]


def test_a_text_without_references_is_passed_over_and_said() -> None:
    scores = score_generated(SCORERS["generation-eval"], GENERATED, ["ter", "bleu"])
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


def test_nothing_is_said_where_all_have_references() -> None:
    scores = score_generated(SCORERS["e2e-metrics"], [GENERATED[0], GENERATED[2]], ["bleu"])
    assert not any("reference" in note for note in scores.notes)
