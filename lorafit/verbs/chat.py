"""Adapter folders + what a person says -> a conversation, of which the answers are written token by token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lorafit.adapters import BaseChoice
from lorafit.data.rows import ChatRow
from lorafit.decoding import AS_TRAINED, Sampling
from lorafit.errors import ChangeArgument, RecipeError, lookup
from lorafit.files import JsonObject
from lorafit.models.placement import clear_out_of_memory
from lorafit.objectives import AnswerOptions, Chat
from lorafit.objectives.restored import RestoredAdapter, restored_by_name
from lorafit.recipe import EvalSection
from lorafit.run.events import Note, Report


@dataclass
class ChatSession:
    """A conversation so far. `used` is the name of the adapter that answers; any of `adapters` may take over."""

    adapters: Mapping[str, RestoredAdapter]
    report: Report
    sampling: Sampling = AS_TRAINED
    system: str | None = None
    messages: list[JsonObject] = field(default_factory=list)
    used: str = ""
    num_answers: int = 0  # since the beginning: each has draws of its own

    @staticmethod
    def of(
        folders: Sequence[Path],
        base: BaseChoice,
        report: Report,
        sampling: Sampling = AS_TRAINED,
        system: str | None = None,
    ) -> ChatSession:
        """With adapters of one base, the first of which answers. Without a strategy or beams, the likeliest token comes
        every time, so that tokens can be shown as they come.

        Raises RecipeError for adapters that were not trained on conversations, or have different bases or tasks.
        """
        if sampling.name == "beam" and not {"strategy", "num_beams"} & sampling.given().keys():
            sampling = replace(sampling, strategy="greedy")
        session = ChatSession(restored_by_name(folders, base), report, sampling, system)
        session.used = next(iter(session.adapters))
        for restored in session.adapters.values():
            session.objective(restored).notes(restored.model.require_tokenizer())
        session.reset()
        return session

    def reset(self) -> None:
        """Begin anew."""
        self.messages = [] if self.system is None else [{"role": "system", "content": self.system}]

    def use(self, name: str) -> None:
        """Let another adapter answer from now on. Raises RecipeError for an unknown name."""
        lookup(self.adapters, name, "adapter")
        self.used = name

    def objective(self, restored: RestoredAdapter) -> Chat:
        """How an adapter answers. Raises RecipeError for one that does not chat."""
        section = self.sampling.section(restored.adapter.card.decode)
        match restored.objective(EvalSection(), decode=section):
            case Chat() as objective:
                return objective
        raise RecipeError(
            f"{restored.adapter.folder}: was trained for {restored.task.name}, and not on conversations",
            ChangeArgument("adapters"),
        )

    def answer(self, text: str) -> Iterator[str]:
        """What the assistant answers to the user's text, piece by piece; both turns then belong to the conversation.

        Raises DataError where the chat template does not take the conversation, or the base does not know a token.
        """
        restored = self.adapters[self.used]
        objective, tokenizer = self.objective(restored), restored.model.require_tokenizer()
        asked = [*self.messages, {"role": "user", "content": text}]
        options = AnswerOptions(self.sampling, first=self.num_answers)
        encoded = objective.encode_inputs(tokenizer, [ChatRow(tuple(asked))], options)
        for note in encoded.checked_notes(("conversation", "conversations")):
            self.report(Note(note))
        pieces = []
        with clear_out_of_memory(restored.adapter.folder):
            writer = objective.writer(restored.model)
            [prompt] = encoded.examples
            for piece in writer.stream(prompt, options.strategy(writer.search)):
                pieces.append(piece)
                yield piece
        self.messages = [*asked, {"role": "assistant", "content": "".join(pieces)}]
        self.num_answers += 1
