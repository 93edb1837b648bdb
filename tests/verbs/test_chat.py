"""A conversation at a terminal is what `predict` answers to the same messages, token by token."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import lorafit
from lorafit.adapters import BaseChoice
from lorafit.data.rows import ChatRow
from lorafit.decoding import Sampling
from lorafit.errors import RecipeError
from lorafit.models import FAMILIES
from lorafit.objectives.chat import Chat
from lorafit.objectives.restored import RestoredAdapter
from lorafit.recipe import EvalSection
from lorafit.tasks import make_task, template_text
from lorafit.verbs.chat import ChatSession
from tests.support import warm
from tests.support.adapter_fixtures import make_adapter

WORDS = "What does Anna eat? Why? Ask. Soup, fish and rice é 𝄞"
SHORT = Sampling(max_new_tokens=6)
ASKED = ("What does Anna eat?", "Why?", "Ask.")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tokenizer = FAMILIES["llama"].tiny_tokenizer([WORDS])
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = template_text("chatml")
    tokenizer.save_pretrained(folder)
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "max_position_embeddings": 256}
    torch.manual_seed(0)
    net = AutoModelForCausalLM.from_config(FAMILIES["llama"].tiny_config(**sizes, initializer_range=0.3))
    net.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    for name, strength in (("calm", 0.1), ("wild", 0.8)):
        make_adapter(base, folder / name / "adapter", task=make_task("chat"), strength=strength)
    return [folder / "calm" / "adapter", folder / "wild" / "adapter"]


def answers(session: ChatSession) -> list[str]:
    return ["".join(session.answer(text)) for text in ASKED]


def chat(folders: list[Path], sampling: Sampling = SHORT, system: str | None = None) -> ChatSession:
    return ChatSession.of(folders, BaseChoice(), print, sampling, system)


@pytest.mark.parametrize(
    "sampling", [SHORT, replace(SHORT, num_beams=3), replace(SHORT, temperature=1.5, seed=2)], ids=str
)
def test_answers_are_those_of_predict(adapters: list[Path], sampling: Sampling) -> None:
    session = chat(adapters[:1], sampling, system="Ask.")
    said = answers(session)
    plain = replace(sampling, strategy="greedy") if sampling == SHORT else sampling
    predictor = lorafit.load(adapters[0])
    first = [{"role": "system", "content": "Ask."}, {"role": "user", "content": ASKED[0]}]
    assert predictor.predict([{"messages": first}], plain) == said[:1]
    assert [each["role"] for each in session.messages] == ["system", *("user", "assistant") * 3]
    if sampling.name != "sample":  # of which each row has draws of its own
        rows: list[lorafit.api.Input] = [{"messages": session.messages[: 2 * n]} for n in (1, 2, 3)]
        assert predictor.predict(rows, plain) == said


@pytest.mark.parametrize("sampling", [replace(SHORT, temperature=3.0, seed=s) for s in range(3)], ids=str)
def test_pieces_come_one_by_one_and_never_half_a_character(adapters: list[Path], sampling: Sampling) -> None:
    restored = RestoredAdapter.of(adapters[1], BaseChoice())
    section = replace(sampling, max_new_tokens=40).section(restored.adapter.card.decode)
    match restored.objective(EvalSection(), decode=section):
        case Chat() as objective:
            writer = objective.writer(restored.model)
    row = ChatRow(({"role": "user", "content": ASKED[0]},))
    [prompt] = objective.encoder(restored.model.require_tokenizer()).prompts([row])
    strategy = sampling.of(writer.search)
    pieces = list(writer.stream(prompt, strategy))
    [(_, whole)] = writer.texts([prompt], strategy, 1, lambda: False)
    assert "".join(pieces) == whole
    assert len(pieces) > 10
    assert not any(piece.endswith("\ufffd") for piece in pieces[:-1])


def test_each_adapter_answers_as_alone_and_goes_on_with_the_conversation(adapters: list[Path]) -> None:
    session = chat(adapters)
    assert session.used == "calm"
    assert "".join(session.answer(ASKED[0])) == answers(chat(adapters[:1]))[0]
    session.reset()
    session.use("wild")
    assert answers(session) == answers(chat(adapters[1:]))
    with pytest.raises(RecipeError, match="no adapter 'wile'; did you mean 'wild'"):
        session.use("wile")


def test_an_adapter_of_another_task_does_not_chat(base: Path, tmp_path: Path) -> None:
    make_adapter(base, tmp_path / "adapter", task=make_task("generation"))
    with pytest.raises(RecipeError, match="was trained for generation, and not on conversations"):
        chat([tmp_path / "adapter"])


def test_a_pipe_is_read_line_by_line(lorafit: Callable[..., Any], adapters: list[Path]) -> None:
    flags = ("--max-new-tokens", "6")
    lines = [ASKED[0], "", ASKED[1], "/reset", ASKED[0], "/us wild", "/use wild", "/exit", "never read"]
    done = lorafit("chat", *adapters, *flags, stdin="\n".join(lines))
    said = done.stdout.splitlines()
    session = chat(adapters)
    first, second = answers(session)[:2]
    assert said == [first, second, first]
    assert "error: no command '/us'; did you mean '/use'?" in done.stderr
    ended = lorafit("chat", adapters[0], *flags, stdin=ASKED[0])
    assert ended.stdout == f"{first}\n"


@pytest.mark.parametrize("way", ["ctrl-c", "end of file"])
def test_a_terminal_is_left_cleanly(adapters: list[Path], way: str) -> None:
    answer = "".join(chat(adapters[:1]).answer("Why?")).encode()
    ours, theirs = pty.openpty()
    command = ("chat", adapters[0], "--max-new-tokens", "6")
    with warm.start(*command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown, asked = b"", False
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.5)[0]:
                with contextlib.suppress(OSError):  # it is closed at the other end
                    shown += os.read(ours, 4096)
            elif not asked and b"> " in shown:
                os.write(ours, b"Why?\n")
                asked = True
            elif asked and answer in shown and way == "ctrl-c":
                process.send_signal(signal.SIGINT)
                process.wait(10)  # readline may not have been waiting yet
            elif asked and answer in shown:
                os.write(ours, b"\x04")
        process.kill()
        assert process.wait() == 0
    os.close(ours)
    assert b"Traceback" not in shown
    assert answer in shown


def test_conversations_of_a_file_get_their_last_turn(adapters: list[Path], tmp_path: Path) -> None:
    session = chat(adapters[:1])
    said = answers(session)
    rows = [{"messages": session.messages[:n]} for n in (1, 2, 3, 6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out.jsonl"
    lorafit.predict(adapters[0], tmp_path / "rows.jsonl", out, replace(SHORT, strategy="greedy"))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["prediction"] for line in lines] == [said[0], said[0], said[1], said[2]]
    assert [line["messages"] for line in lines] == [row["messages"] for row in rows]


def test_texts_of_a_file_go_on(base: Path, tmp_path: Path) -> None:
    make_adapter(base, tmp_path / "adapter", task=make_task("text"))
    for name in ("rows.txt", "rows.jsonl"):
        content = WORDS if name == "rows.txt" else json.dumps({"text": WORDS})
        (tmp_path / name).write_text(content + "\n")
        out = tmp_path / f"{name}.out.jsonl"
        lorafit.predict(tmp_path / "adapter", tmp_path / name, out, replace(SHORT, strategy="greedy"))
        [line] = [json.loads(each) for each in out.read_text().splitlines()]
        assert line["text"] == WORDS
        asked = lorafit.load(tmp_path / "adapter").predict([WORDS], replace(SHORT, strategy="greedy"))
        assert [line["prediction"]] == asked
