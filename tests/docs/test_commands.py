"""Every command in README and docs is run, or says what it needs; every link between Markdown files leads somewhere.

The pages name bases on the hub and rows of the reader's. Here, and only here:

* `--set model.base=` puts a tiny base in their place, and `--set train.` makes it learn in a moment;
* the files that a page takes for granted are made before (`reviews.csv` and its like).
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from lorafit.cli.app import app
from lorafit.run.recipes import open_recipe
from tests.conftest import CONTEXTS, ROOT, e2e_sentence
from tests.support.adapter_fixtures import Outcome, run_here
from tests.support.markdown import Block, blocks
from tests.support.tiny_encoders import save_encoder, sentences

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EVERY_MD = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
NOT_RUN = {"needs network", "needs a GPU", "needs Slurm", "long"}
ELSEWHERE = ROOT / "docs" / "adding.md"  # test_adding.py; but for what is done afterwards
# A tiny base of each kind, and enough to learn for pages that tell its answers: they tell labels.
TINY = {
    "decoder": ("train.learning_rate=0.01", "train.epochs=1"),
    "encoder": ("train.learning_rate=0.02", "train.epochs=4"),
}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpt2_base: Path) -> Path:
    """A folder with tiny bases, and with the files of a reader who follows the pages."""
    save_encoder(tmp_path / "encoder", "roberta")
    (tmp_path / "decoder").symlink_to(gpt2_base)
    (tmp_path / "docs").mkdir()
    (tmp_path / "recipes").mkdir()
    classes, tail = ("bad", "good"), " and so on"
    reviews = [
        {"id": i, "review": f"{text.replace(tail, '')}{tail * (i // 2 % 4)} {i}", "stars": classes[label]}
        for i, (text, label) in enumerate(sentences(120))
    ]  # lengths say nothing of labels: rows of like length share a batch
    write_csv(tmp_path / "reviews.csv", reviews)
    write_csv(tmp_path / "new.csv", [{"review": row["review"]} for row in reviews[:4]])
    more = [json.dumps(row | {"review": f"really, {row['review']}"}) + "\n" for row in reviews[:20]]
    (tmp_path / "more.jsonl.gz").write_bytes(gzip.compress("".join(more).encode()))
    header, *lines = (tmp_path / "reviews.csv").read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2].replace(",", " ", 1)
    (tmp_path / "broken.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    questions = [{"topic": "Food", "question": c, "answer": e2e_sentence(c)} for c in CONTEXTS]
    write_jsonl(tmp_path / "questions.jsonl", questions)
    talks = [
        [
            {"role": "user", "content": f"What does {name} eat?"},
            {"role": "assistant", "content": f"{name} eats soup."},
        ]
        for name in (
            "Anna",
            "Bert",
            "Carl",
            "Dora",
            "Emil",
            "Frida",
            "Gert",
            "Hans",
            "Ida",
            "Jan",
            "Karl",
            "Lena",
        )
    ]
    write_jsonl(tmp_path / "chats.jsonl", [{"messages": each} for each in talks])
    book = "\n\n".join(f"{e2e_sentence(context)} " * 30 for context in CONTEXTS)
    (tmp_path / "book.txt").write_text(book, encoding="utf-8")
    (tmp_path / "books").mkdir()
    for number, part in enumerate(book.split("\n\n")):
        (tmp_path / "books" / f"{number}.txt").write_text(part, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def command_lines(block: Block) -> Iterator[list[str]]:
    """The commands of a block, word by word; comments and line ends with a backslash as a shell has them."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Run `lorafit …`, a `> file` at its end."""
    program, *arguments = words
    assert program == "lorafit", f"{program}: mark the block, or teach the test to run it"
    target = None
    if ">" in arguments:
        *arguments, _, target = arguments
    if arguments[0] == "train" or arguments[:2] == ["data", "show"]:
        recipe = open_recipe(arguments[2 if arguments[0] == "data" else 1])
        base = "decoder" if recipe.task.output == "text" else "encoder"
        changes = () if recipe.name == "quickstart" else (f"model.base={base}", *TINY[base])
        arguments += [part for change in changes for part in ("--set", change)]
    done = run_here(monkeypatch, arguments)
    if target is not None:
        Path(target).write_text(done.out, encoding="utf-8")
    return done


def run_all(block: Block, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run every command of a block; what they printed."""
    printed = ""
    for words in command_lines(block):
        done = run_command(words, monkeypatch)
        assert done.code == 0, f"{shlex.join(words)}\n{done.err}"
        printed += done.out + done.err
    return printed


def check_console(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """`$ lorafit …` and the error that it ends with."""
    command, expected = block.text.split("\n", 1)
    done = run_command(shlex.split(command.removeprefix("$ ")), monkeypatch)
    assert done.code in (2, 3)
    assert done.err.split() == expected.split()


def run_python(block: Block, names: dict[str, Any]) -> str:
    """Run a block with the names that the page has so far; the same base and settings take the real ones' place."""
    text = block.text
    for base, stand_in in (("FacebookAI/roberta-base", "encoder"), ("openai-community/gpt2", "decoder")):
        pairs = [change.split("=", 1) for change in TINY[stand_in]]
        tiny = "".join(f', "{key}": {value}' for key, value in pairs)
        text = text.replace(f'"{base}"', f'"{stand_in}"{tiny}')
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(text, f"line {block.line}", "exec"), names)
    return out.getvalue()


def without_numbers(line: str) -> str:
    return " ".join(re.sub(r"\d[\d.,:e-]*", "#", line).split())


def named_file(block: Block) -> Path | None:
    """The file that the paragraph above says a block is."""
    found = re.match(r"`([\w.]+\.\w+)`(?::| has )", block.before)
    return Path(found[1]) if found else None


@pages
def test_commands_do_what_the_page_says(page: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, names = "", dict[str, Any]()
    if page.name == "README.md":
        assert "lorafit train own_classification" in page.read_text(encoding="utf-8").split("## ")[0]
    for block in blocks(page):
        if page == ELSEWHERE and block.heading != "Afterwards":
            continue
        if block.mark:
            assert block.mark in NOT_RUN, f"{page.name}:{block.line}"
            continue
        match block.language:
            case "sh":
                printed = run_all(block, monkeypatch)
            case "console":
                check_console(block, monkeypatch)
            case "python":
                printed = run_python(block, names)
            case "text":
                known = {without_numbers(line) for line in printed.splitlines()}
                for line in filter(str.strip, block.text.splitlines()):
                    assert without_numbers(line) in known, f"{page.name}:{block.line}: {line}\n{printed}"
            case "toml":
                path = named_file(block)
                assert path is not None, f"{page.name}:{block.line}: which file is this?"
                (workplace / path).write_text(block.text, encoding="utf-8")
                open_recipe(path)
            case "csv":
                path = named_file(block)
                assert path is not None
                header, *rows = block.text.splitlines()
                there = (workplace / path).read_text(encoding="utf-8").splitlines()
                assert header == there[0]
                assert all(row.count(",") == header.count(",") for row in rows)
            case language:
                raise AssertionError(f"{page.name}:{block.line}: what is {language!r}?")


def options_of(words: list[str]) -> set[str]:
    """The long options of a command, found by its words. Fails where there is no such command."""
    command = typer.main.get_command(app)
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        listed = words and words[0] in command.commands
        name = words.pop(0) if listed else getattr(command, "usual", " ".join(words))
        assert name in command.commands, f"there is no command {name!r}"
        command = command.commands[name]
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("page", EVERY_MD, ids=lambda page: page.name)
def test_every_command_that_is_named_exists_with_its_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    spans = re.findall(r"`lorafit ([a-z][^`\n]*)`", text)
    lines = re.findall(
        r"^(?:.* )?lorafit ((?:train|fetch|repro|table|recipes?|data|eval|merge) .*)$", text, re.MULTILINE
    )
    for words in (shlex.split(line.replace("'", ""), comments=True) for line in [*spans, *lines]):
        known = options_of(words)
        used = {word for word in words if word.startswith("--")}
        assert used <= known, f"lorafit {' '.join(words)}"


@pytest.mark.parametrize("page", EVERY_MD, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    outside_blocks = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_blocks):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
            assert anchor in anchors, f"{page.name}: {target}"


@pytest.mark.parametrize("page", [*EVERY_MD], ids=lambda page: page.name)
def test_paths_of_the_repository_that_are_named_are_there(page: Path) -> None:
    """`scripts/…`, `tests/…`, `lorafit/…` and `docs/…` between backticks."""
    own = {block.before.split("`")[1] for block in blocks(page) if block.before.startswith("`")}
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:scripts|tests|lorafit|docs)/[\w./-]+)`", text):
        assert path in own or (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_table_of_rooms_is_that_of_the_layers() -> None:
    """CONTRIBUTING and the import contract name the same packages, row by row."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown: dict[int, set[str]] = {}
    for row, names in re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE):
        shown.setdefault(int(row), set()).update(re.findall(r"`(\w+)(?:/|\.py)`", names))
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = pyproject["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = [{name.strip().removeprefix("lorafit.") for name in layer.split(":")} for layer in layers]
    bottom = set[str]().union(*rows[-3:])  # modules, which share a row of the table
    assert [shown[row] for row in sorted(shown)] == [
        bottom,
        *[row for row in reversed(rows[:-3]) if "__main__" not in row],
    ]
