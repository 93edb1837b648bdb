"""The answer of a sweep: means, intervals, what is within noise, what diverged."""

from __future__ import annotations

import statistics

import pytest
from scipy import stats

from lorafit.sweep.answer import Answer, Figure, Member, welch_p


def member(rate: float, seed: int, loss: float | None, score: float = 0.5) -> Member:
    """One that finished, or that diverged where it has no loss."""
    place, settings = f"{rate}/seed-{seed}", {"train.learning_rate": rate}
    if loss is None:
        return Member(settings, seed, place, "diverged", reason="step 3: the loss is nan")
    return Member(settings, seed, place, "finished", {"loss": loss}, -loss, score, {"bleu": score})


FAMILY = [
    *(member(1e-4, seed, 2.9 + 0.01 * seed) for seed in range(3)),
    *(member(3e-4, seed, 2.0 + 0.01 * seed) for seed in range(3)),
    *(member(1e-3, seed, 1.99 + 0.012 * seed) for seed in range(3)),
    *(member(1e-1, seed, None) for seed in range(3)),
]


def test_an_interval_is_that_of_students_t() -> None:
    values = [1.0, 2.0, 4.0, 4.5]
    figure = Figure.of([*values, None])
    assert figure is not None
    assert figure.half is not None
    low, high = stats.t.interval(0.95, 3, loc=statistics.fmean(values), scale=stats.sem(values))
    assert (figure.mean - figure.half, figure.mean + figure.half) == pytest.approx((low, high))
    assert Figure.of([2.5]) == Figure(2.5, None, None, (2.5,))
    assert Figure.of([None]) is None


def test_the_p_of_two_settings_is_that_of_welch() -> None:
    for a, b in (
        ([1.0, 2.0, 4.0], [2.5, 2.6]),
        ([0.1, 0.2, 0.1, 0.3], [0.4, 0.4, 0.5]),
        ([3.0, 3.1], [1.0, 5.0]),
    ):
        assert welch_p(a, b) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_the_best_what_is_within_noise_and_what_did_not_survive() -> None:
    answer = Answer.of(FAMILY, "bleu", higher_is_better=True)
    assert [(row.is_best, row.is_close) for row in answer.rows] == [
        (False, False),
        (False, True),
        (True, None),
        (False, None),
    ]
    assert answer.best == 6  # the seed with the least validation loss of that setting
    assert answer.sentence() == (
        "learning_rate = 0.001 is best; learning_rate = 0.0003 is within noise of it; "
        "nothing above learning_rate = 0.001 survived"
    )


def test_one_seed_tells_no_noise() -> None:
    answer = Answer.of([member(1e-4, 0, 2.0), member(1e-3, 0, 1.0)], "bleu", higher_is_better=True)
    assert answer.best == 1
    assert answer.rows[0].is_close is None
    assert "with one seed each" in answer.sentence()


def test_without_validation_the_score_decides() -> None:
    scored = [Member({"method.r": r}, 0, str(r), "finished", score=float(r)) for r in (1, 3, 2)]
    assert Answer.of(scored, "rmse", higher_is_better=False).best == 0
    assert Answer.of(scored, "bleu", higher_is_better=True).best == 1


def test_why_nothing_is_best_is_said() -> None:
    lost = [member(rate, seed, None) for rate in (1.0, 2.0) for seed in (0, 1)]
    assert Answer.of(lost, "bleu", higher_is_better=True).sentence() == "no setting survived"
    partly = [lost[0], member(1.0, 1, 2.5), *lost[2:]]
    said = Answer.of(partly, "bleu", higher_is_better=True).sentence()
    assert said == "no setting survived with all of its seeds"
    constant = [Member({"method.r": r}, 0, str(r), "finished", {"loss": 1.0}) for r in (1, 2)]
    said = Answer.of(constant, "pearson", higher_is_better=True).sentence()
    assert said == "no setting has a pearson to be judged by"


def test_what_is_not_finished_is_said() -> None:
    waiting = Member({"train.learning_rate": 1e-2}, 0, "x", "stopped")
    assert Answer.of([waiting], "bleu", higher_is_better=True).sentence() == "1 of 1 runs are not finished"
    partly = Answer.of([*FAMILY, waiting], "bleu", higher_is_better=True)
    assert partly.sentence().endswith("1 of 13 runs are not finished")


def test_the_validation_score_that_decides_is_shown_where_it_is_another_than_the_score() -> None:
    def scored(r: int, on_valid: float, on_test: float) -> Member:
        validation = {"loss": 1.0, "scores": {"accuracy": on_valid}}
        return Member({"method.r": r}, 0, str(r), "finished", validation, on_valid, on_test)

    answer = Answer.of([scored(1, 0.9, 0.6), scored(2, 0.8, 0.7)], "accuracy", higher_is_better=True)
    assert answer.best == 0
    assert answer.has_validation_score
    assert [row["validation"]["mean"] for row in answer.to_json()["rows"]] == [0.9, 0.8]
    on_valid = Answer.of([scored(1, 0.9, 0.9)], "accuracy", higher_is_better=True)
    assert not on_valid.has_validation_score
    assert not Answer.of(FAMILY, "bleu", higher_is_better=True).has_validation_score
