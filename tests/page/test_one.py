"""The page of one run, in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from lorafit.page.one import write_run_page
from tests.page.conftest import Opened

Open = Callable[..., Opened]
EVIL = """</script><script>window.hurt = 1</script><img src=x onerror="window.hurt = 1">{{ 7 * 7 }}&amp;'\""""
LINE = """([chart, name]) => {
    const svg = document.querySelector(`#chart-${chart} .area svg`), d = svg.dataset
    const path = [...svg.querySelectorAll(".series")].find(each => each.dataset.name === name)
    return path.getAttribute("d").match(/[\\d.-]+ [\\d.-]+/g).map(pair => {
        const [x, y] = pair.split(" ").map(each => each / 1000)
        return [+d.xLow + x * (d.xHigh - d.xLow), +d.yLow + (1 - y) * (d.yHigh - d.yLow)]
    })
}"""
"""A line as it is drawn, in the values of its axes."""


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A finished run on classes, one of them with a name that means harm; 300 predictions."""
    run = tmp_path / "runs & <b>" / "seed-0"
    names = ["good", "bad", EVIL]
    lines: list[Mapping[str, object]] = [
        {
            "input": {"review": f"text {i} {EVIL}", EVIL: "x"},
            "label": names[i % 3],
            "prediction": names[i % 2],
            "probabilities": {
                names[i % 3]: 0.9 - i / 1000,
                names[(i + 1) % 3]: 0.05,
                names[(i + 2) % 3]: 0.05,
            },
        }
        for i in range(300)
    ]
    (run / "predictions").mkdir(parents=True)
    (run / "predictions" / "valid.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    figures = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 100}
    scores = {
        "split": "valid",
        "scores": {"accuracy": 100 / 300, "f1": None},
        "signatures": {"accuracy": EVIL},
        "reasons": {"f1": EVIL},
        "notes": [EVIL],
        "classes": dict.fromkeys(names, figures),
        "confusion": [[50, 50, 0], [50, 50, 0], [50, 50, 0]],
    }
    (run / "scores.json").write_text(json.dumps(scores))
    (run / "recipe.toml").write_text(
        "[model]\nbase = 'roberta-base'\n[method]\nname = 'lora'\nr = 4\n[train]\nlearning_rate = 1e-3\nepochs = 1\n"
        "[task]\nname = 'classification'\ntext = 'review'\nlabel = 'stars'\n[data]\ntrain = 'a.csv'\n"
    )
    return run


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1440])
def test_a_page_is_readable_and_asks_for_nothing(trained: Path, opened: Open, width: int, theme: str) -> None:
    page = opened(trained / "report.html", width, theme)
    assert page.said == []
    assert page.asked == [(trained / "report.html").as_uri()]
    assert page.js("document.documentElement.scrollWidth") == width, "it scrolls sideways"
    assert len(set(page.page.screenshot())) > 100, "blank"
    found = Axe().run(page.page)
    assert found.violations_count == 0, found.generate_report()
    background, ink = page.js("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    is_dark = sum(map(int, background[4:-1].split(","))) < sum(map(int, ink[4:-1].split(",")))
    assert is_dark == (theme == "dark")


def test_charts_show_what_was_logged(trained: Path, opened: Open) -> None:
    page, steps = opened(trained / "report.html"), events(trained, "step")
    validations = events(trained, "validation")
    drawn = {
        ("loss-step", "training"): [(e["step"], e["loss"]) for e in steps],
        ("loss-step", "validation"): [(e["step"], e["loss"]) for e in validations],
        ("loss-tokens", "training"): [(e["tokens"], e["loss"]) for e in steps],
        ("learning-rate", "learning rate"): [(e["step"], e["learning_rate"]) for e in steps],
        ("gradient-norm", "gradient norm"): [(e["step"], e["grad_norm"]) for e in steps],
        ("speed", "tokens per second"): [(e["step"], e["tokens_per_second"]) for e in steps],
        ("memory", "peak memory, gb"): [(e["step"], e["memory_bytes"] / 1e9) for e in steps],
    }
    for (chart, name), logged in drawn.items():
        line = page.js(LINE, [chart, name])
        assert len(line) == len(logged)
        for (x, y), (at, value) in zip(line, logged, strict=True):
            assert x == pytest.approx(at, rel=1e-5, abs=1e-4), chart
            assert y == pytest.approx(value, rel=1e-4, abs=2e-6), chart


def test_the_page_says_what_the_run_is(trained: Path, opened: Open) -> None:
    text = opened(trained / "report.html").page.inner_text("body")
    started, scores = events(trained, "started")[0], json.loads((trained / "scores.json").read_text())
    assert f"{started['num_trained']:,} of {started['num_total']:,} parameters" in text
    assert f"{scores['scores']['bleu']:.4f}" in text or f"{scores['scores']['bleu']:.2f}" in text
    assert "70.4" in text, "the paper's figure"
    assert "instead of" in text
    assert scores["inputs"]["data.train"]["sha256"][:12] in text
    for line in (trained / "predictions" / "test.jsonl").read_text().splitlines():
        assert " ".join(json.loads(line)["input"].split()) in " ".join(text.split())


def test_text_can_be_selected_and_read_without_the_script(trained: Path, opened: Open) -> None:
    page = opened(trained / "report.html")
    page.page.click("h1", click_count=3)
    assert "e2e_gpt2m" in page.js("getSelection().toString()")
    silent = opened(trained / "report.html", script=False)
    assert silent.page.is_visible("#list .answer")
    assert not silent.page.is_visible("#find")


def test_charts_are_read_with_the_keyboard(trained: Path, opened: Open) -> None:
    page, [first, *_] = opened(trained / "report.html"), events(trained, "step")
    page.page.focus("#chart-loss-step .plot")
    page.page.keyboard.press("Home")
    assert page.page.inner_text("#chart-loss-step .readout").splitlines() == [
        "steps 1",
        f"training {first['loss']:.4g}",
    ]


def test_what_a_file_says_is_shown_as_text(labelled: Path, opened: Open) -> None:
    page = opened(write_run_page(labelled))
    assert page.js("window.hurt") is None
    assert page.said == []
    assert len(page.asked) == 1
    text = page.page.inner_text("body")
    assert EVIL in text
    assert "{{ 7 * 7 }}" in text
    assert page.js("document.querySelectorAll('script').length") == 1
    found = Axe().run(page.page, context="#classes")
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_share_of_a_class_can_be_read(labelled: Path, opened: Open, theme: str) -> None:
    result = json.loads((labelled / "scores.json").read_text())
    names = [f"class {i}" for i in range(21)]
    counts = [[100 - 5 * i if j == i else 5 * i * (j == (i + 1) % 21) for j in range(21)] for i in range(21)]
    result |= {"classes": dict.fromkeys(names, result["classes"]["good"]), "confusion": counts}
    (labelled / "scores.json").write_text(json.dumps(result))
    found = Axe().run(opened(write_run_page(labelled), theme=theme).page, context="#classes")
    assert found.violations_count == 0, found.generate_report()


def test_predictions_are_searched_and_sorted(labelled: Path, opened: Open) -> None:
    page = opened(write_run_page(labelled)).page
    visible = "#list .answer:not([hidden])"
    assert page.locator(visible).count() == 200
    first = page.locator(visible).first.inner_text()
    page.select_option("#order", "down")
    losses = [
        float(each or 0)
        for each in page.eval_on_selector_all(visible, "all => all.map(e => e.dataset.value)")
    ]
    assert losses == sorted(losses, reverse=True)
    page.select_option("#order", "index")
    assert page.locator(visible).first.inner_text() == first
    page.fill("#find", "TEXT 30 ")
    assert page.locator(visible).count() == 1
    page.fill("#find", "")
    page.check("#only-wrong")
    assert 0 < page.locator(visible).count() < 200
    assert page.locator(f"{visible}.right").count() == 0
    page.click("#classes th:has-text('class') button")
    names = page.locator("#classes .sortable tbody th").all_inner_texts()
    assert names == sorted(names, key=str.lower)


def test_an_old_or_unfinished_run_has_a_page(trained: Path, tmp_path: Path, opened: Open) -> None:
    """Without what earlier versions did not log, in the midst of a line, and before anything happened."""
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(trained / "recipe.toml", old)
    assert "Nothing has been logged yet" in opened(write_run_page(old)).page.inner_text("body")
    kept = [
        {k: v for k, v in e.items() if k not in ("tokens", "memory_bytes")} for e in events(trained, "step")
    ]
    (old / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept) + '{"event": "st')
    page = opened(write_run_page(old))
    assert "stopped at step 8" in page.page.inner_text("body")
    assert len(page.js(LINE, ["loss-step", "training"])) == 8


def test_a_long_run_stays_small_and_keeps_its_peaks(labelled: Path, opened: Open) -> None:
    losses = [2.0 + 0.1 * (i % 7) for i in range(20_000)]
    losses[12_345] = 9.0
    lines = [
        {"event": "step", "step": i + 1, "loss": loss, "learning_rate": 1e-3, "grad_norm": None}
        for i, loss in enumerate(losses)
    ]
    (labelled / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    texts = [{"input": "x" * 5000, "references": ["y" * 5000] * 5, "prediction": "z" * 5000}] * 1000
    (labelled / "predictions" / "valid.jsonl").write_text("".join(json.dumps(line) + "\n" for line in texts))
    path = write_run_page(labelled)
    assert path.stat().st_size < 1_000_000
    drawn = opened(path).js(LINE, ["loss-step", "each logged step"])
    logged = {step + 1: loss for step, loss in enumerate(losses)}
    assert 300 <= len(drawn) <= 600
    for x, y in drawn:
        assert y == pytest.approx(logged[round(x)], abs=1e-4)
    assert max(y for _, y in drawn) == pytest.approx(9.0, abs=1e-4)
