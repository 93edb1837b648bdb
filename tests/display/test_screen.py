"""The live screen: what it draws, on wide and narrow terminals, and that it is gone without a trace of its own."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lorafit.display import Display
from lorafit.display.screen import PATIENCE_S, Bar, Screen, TrainingState, sparkline
from lorafit.recipe import to_toml
from lorafit.run.events import Note, Started, Validated
from lorafit.run.recipes import open_recipe
from lorafit.tasks import make_task
from tests.conftest import recipe_overrides
from tests.support.adapter_fixtures import make_adapter
from tests.support.calls import calls_of
from tests.support.run_folders import e2e_scores, write_run
from tests.support.terminal import Terminal


def state(steps: int = 30, title: str = "training 9 parameters") -> TrainingState:
    made = TrainingState(title, num_steps=120, steps_per_epoch=25)
    for step in range(1, steps + 1):
        made.stepped(step, 4.0 / step, 1e-3, 5000.0, 0.1)
    return made


def drawn(screen: Screen) -> list[str]:
    with screen.console.capture() as captured:
        screen.console.print(screen.draw())
    return captured.get().splitlines()


def terminal(width: int = 100, height: int = 30) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def test_of_thousands_of_runs_those_that_have_room_are_drawn() -> None:
    screens = [Screen(terminal(height=12)), Screen(terminal(height=12))]
    for screen, count in zip(screens, (50, 3_000), strict=True):
        screen.runs.update({f"seed {n}": state(steps=3) for n in range(count)})
    assert len(drawn(screens[1])) == 10
    assert "2,991 more" in drawn(screens[1])[-1]
    few, many = (calls_of(screen.draw).total() for screen in screens)
    assert many < 2 * few


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=300), st.integers(1, 60))
def test_a_sparkline_fits_and_shows_the_extremes(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == (min(width, len(values)) if min(width, len(values)) > 1 else 0)
    if len(values) <= width and len(line) > 1 and all(map(math.isfinite, values)):
        top, bottom = line[values.index(max(values))], line[values.index(min(values))]
        assert (top, bottom) == (("█", "▁") if max(values) - min(values) > 0 else ("▁", "▁"))


def test_all_of_a_run_is_there() -> None:
    screen = Screen(terminal())
    screen.runs[""] = state()
    screen.runs[""].best = "validation loss 0.5 (epoch 1)"
    text = "\n".join(drawn(screen))
    assert re.search(r"run .* 30/120  \d+:\d\d left", text)
    assert re.search(r"epoch .* 2, step 5/25", text)
    assert re.search(r"loss +█.*▁ 0.1333  lr 1.00e-03", text)
    assert "best   validation loss 0.5 (epoch 1)" in text
    assert re.search(r"speed  5,000 tokens/s  10% padding .* memory", text)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [5, 24])
@pytest.mark.parametrize("num_runs", [1, 3, 40])
def test_it_never_outgrows_the_terminal(width: int, height: int, num_runs: int) -> None:
    screen = Screen(terminal(width, height))
    for number in range(num_runs):
        screen.runs[f"learning_rate={number}e-4"] = state(title="training many parameters " * 9)
    for number in range(9):
        screen.say(f"message {number} " * 30)
        screen.bars[f"work {number}"] = Bar(3, 10, since=-PATIENCE_S)
    lines = drawn(screen)
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_several_runs_have_a_row_each() -> None:
    screen = Screen(terminal())
    screen.runs = {"r=4": state(10), "r=8": state(20)}
    first, second = drawn(screen)
    assert "r=4" in first
    assert "10/120  loss 0.4000" in first
    assert "r=8" in second
    assert "20/120  loss 0.2000" in second


def test_short_work_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("lorafit.display.screen.time.monotonic", lambda: now[0])
    screen = Screen(terminal())
    screen.progress("decoding", 1, 10, "1/10")
    assert drawn(screen) == []
    now[0] += PATIENCE_S
    assert "decoding" in drawn(screen)[0]
    screen.progress("decoding", 10, 10, "10/10")
    assert drawn(screen) == []


def test_what_was_said_stays_when_the_screen_goes() -> None:
    console = terminal()
    screen = Screen(console)
    screen.start()
    for number in range(20):
        screen.say(f"note {number}")
    screen.stop()
    assert isinstance(console.file, io.StringIO)
    end = console.file.getvalue().rpartition("note 0\n")[2]
    assert end == "".join(f"note {number}\n" for number in range(1, 20))


def test_only_the_result_is_shown_when_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(only_result=True)
    with display:
        display.report(Note("a note"))
        display.report(Started(10, 5, 3, "cpu", "float32"))
        display.report(Validated(1, 5, 0.5, {}, best=True))
    display.print("the result")
    assert capsys.readouterr().out == "the result\n"


@pytest.fixture
def training(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> Callable[..., list[str]]:
    def command(name: str, *more: str) -> list[str]:
        overrides = recipe_overrides(gpt2_base, e2e_dir, train__epochs=2, eval__metrics=["bleu"])
        return ["train", "e2e_gpt2m", *map(str, overrides), "--output", str(tmp_path / name), *more]

    return command


def test_a_terminal_shows_one_screen_and_then_what_was_made(
    training: Callable[..., list[str]], tmp_path: Path
) -> None:
    with Terminal(*training("run"), columns=70, rows=20) as screen:
        assert screen.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.output)
    assert "\x1b[" in screen.output
    after = text.rpartition("finished after")[2]
    assert f"run folder: {tmp_path / 'run'}" in after
    assert "next:       lorafit predict" in after
    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.output.rpartition("\x1b[1A")[2])
    assert len(re.findall(r"^finished after 8 steps", printed, re.MULTILINE)) == 1
    assert len(re.findall(r"^training .* for 8 steps", printed, re.MULTILINE)) == 1
    assert "step 8/8" not in text  # the lines of logs and pipes
    assert "wrote " not in text


def test_without_colour_there_is_none(training: Callable[..., list[str]]) -> None:
    with Terminal(*training("run"), environment={"NO_COLOR": "1"}) as screen:
        assert screen.wait() == 0
    colours = [code for codes in re.findall(r"\x1b\[([0-9;]+)m", screen.output) for code in codes.split(";")]
    assert not [code for code in colours if 30 <= int(code) <= 49 or int(code) >= 90]


def test_pipes_get_plain_lines_and_quiet_ones_the_result_alone(
    cli, training: Callable[..., list[str]]
) -> None:
    loud = cli(*training("loud")).stdout
    assert "\x1b" not in loud
    assert re.search(r"^step 8/8  loss \d", loud, re.MULTILINE)
    quiet = cli(*training("quiet", "--quiet")).stdout
    assert "step " not in quiet
    assert "epoch " not in quiet
    assert re.search(r"^ bleu ", quiet, re.MULTILINE)
    assert "next:       lorafit predict" in quiet


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        ("export ADAPTER OUT", "exporting"),
        ("merge ADAPTER OUT", "merging"),
        ("verify ADAPTER", "verifying"),
        ("score e2e TEXTS TEXTS --metric bleu", "scoring"),
        ("compare ROWS ROWS", "comparing"),
        ("report RUNS --table 3 -o OUT", "drawing"),
        ("fetch RECIPE --check", "reading and hashing what e2e_gpt2m needs"),
        ("fetch RECIPE --lock OUT", "reading and hashing what e2e_gpt2m needs"),
        ("chat TALKS", "loading"),
    ],
)
def test_what_may_last_says_what_it_does(
    typed: str, what: str, places: dict[str, Path], cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bar that nobody sees before two seconds: here the terminal has no patience."""
    shown = []
    monkeypatch.setattr(Screen, "progress", lambda _, name, *__: shown.append(name))
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setattr("rich.console.Console.is_dumb_terminal", False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    words = [str(places.get(word, tmp_path / "out" if word == "OUT" else word)) for word in typed.split()]
    cli(*words)
    assert what in shown


@pytest.fixture(scope="module")
def places(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An adapter, one that chats, texts, predictions, a run, and a recipe."""
    folder = tmp_path_factory.mktemp("places")
    make_adapter(gpt2_base, folder / "adapter")
    make_adapter(gpt2_base, folder / "talks", task=make_task("chat", template="plain"))
    (folder / "texts").write_text("a b c\nd e f\n")
    (folder / "rows.jsonl").write_text('{"prediction": "a", "references": ["a"]}\n')
    overrides = [*recipe_overrides(gpt2_base, e2e_dir)[1::2]]
    (folder / "answers.toml").write_text(to_toml(open_recipe("e2e_gpt2m", overrides), paths_from=Path.cwd()))
    write_run(folder / "runs", "e2e_gpt2m", 0, e2e_scores(70.0))
    named = {
        "ADAPTER": "adapter",
        "TALKS": "talks",
        "TEXTS": "texts",
        "ROWS": "rows.jsonl",
        "RECIPE": "answers.toml",
        "RUNS": "runs",
    }
    return {name: folder / path for name, path in named.items()}
