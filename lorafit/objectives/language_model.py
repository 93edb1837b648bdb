"""What all objectives share that learn tokens from those before them: packed sequences, their loss, validation."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from lorafit import lora
from lorafit.data.batches import SequenceBatch, pack, pad
from lorafit.data.encoding.sequences import EncodedSequence, TokenSequence
from lorafit.decoding import BeamSearch, beams_can_share_a_row
from lorafit.metrics import Metric
from lorafit.metrics.scoring import Scores, score_by
from lorafit.models import Model, Reading
from lorafit.models.vocabulary import Vocabulary
from lorafit.objectives.base import Objective, Prediction, Validation
from lorafit.objectives.encoded import Encoded, Limit
from lorafit.objectives.encoder import Block
from lorafit.recipe import DecodeSection, EvalSection
from lorafit.training import ProcessGroup, language_model_loss_sums

_VALIDATION_TOKENS = 4096  # tokens in a packed row while validating
_CUT_PROMPT = ("loses its beginning to fit into", "lose their beginning to fit into")

RowT = TypeVar("RowT")
ItemT = TypeVar("ItemT")
SequenceT = TypeVar("SequenceT", bound=TokenSequence)


@dataclass(frozen=True)
class LanguageModel(Objective[RowT, SequenceT, SequenceBatch]):
    """Predicting tokens."""

    limit: Limit  # of an example
    decode: DecodeSection
    evaluation: EvalSection
    reading: Reading
    pad_id: int
    num_positions: int | None  # None: no limit
    vocab_size: int | None  # rows of the embedding; None: not known

    @override
    def collate(self, parts: Sequence[Sequence[SequenceT]]) -> SequenceBatch:
        examples, counts = [example for part in parts for example in part], [len(part) for part in parts]
        if self.reading == "packed":
            return pack(examples, self.limit.num_tokens, counts)
        batch = pad(examples, self.limit.num_tokens, self.pad_id, counts)
        return batch if self.reading == "padded" else replace(batch, attention_mask=None)

    @override
    def loss_sums(self, model: Model, batch: SequenceBatch, label_smoothing: Sequence[float]) -> Tensor:
        return language_model_loss_sums(model.net, batch.to(model.device), label_smoothing)

    @override
    def validation_rows(self, rows: Sequence[RowT]) -> Sequence[RowT]:
        return rows

    @override
    @torch.inference_mode()
    def validate_members(
        self,
        model: Model,
        rows: Sequence[RowT],
        examples: Sequence[SequenceT],
        group: ProcessGroup,
        num_members: int,
    ) -> list[Validation]:
        """Mean negative log-likelihood per target token, without label smoothing."""
        model.net.eval()
        batches = [[examples[i] for i in batch] for batch in _validation_batches(examples)]
        sums = list(group.map(batches, lambda batch: self._loss_sums_of(model, batch, num_members)))
        model.net.train()
        num_targets = max(sum(count for _, count in sums), 1)
        losses = [sum(of_members[i] for of_members, _ in sums) / num_targets for i in range(num_members)]
        return [Validation(loss, quality=-loss) for loss in losses]

    @override
    def bucket_length(self, length: int) -> int:
        return length

    @override
    def num_inputs(self, length: int) -> int:
        return min(length, self.limit.num_tokens) - 1

    @override
    def inputs(self, example: SequenceT) -> list[int]:
        return example.inputs(self.limit.num_tokens)

    @override
    def notes(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        others = super().notes(tokenizer)
        ids, size = self.decode.eos_token_ids or (), self.vocab_size
        outside = [str(id_) for id_ in ids if size is not None and id_ >= size]
        said = f"of the {size:,} tokens of the base, and end{'s' * (len(outside) == 1)} no text"
        none = "is none" if len(outside) == 1 else "are none"
        return (
            [f"[decode] eos_token_ids: {' and '.join(outside)} {none} {said}", *others] if outside else others
        )

    @override
    def settings(self) -> Mapping[str, Any]:
        return {**self.decode.model_dump(mode="json"), "batch_size": self.evaluation.batch_size}

    @torch.inference_mode()
    def losses(
        self, model: Model, parts: Sequence[Sequence[SequenceT]], num_members: int
    ) -> list[list[tuple[float, ...]]]:
        """For each member, of each group of examples the sum of the negative log-likelihoods of its targets, and how
        many there are."""
        was_training = model.net.training
        model.net.eval()
        examples = [example for part in parts for example in part]
        each: dict[int, tuple[float, ...]] = {}  # of an example, by member
        for batch in _validation_batches(examples):
            each |= zip(batch, self._losses_of(model, [examples[i] for i in batch], num_members), strict=True)
        model.net.train(was_training)
        counts = [example.num_targets(self.limit.num_tokens) for example in examples]
        bounds = itertools.pairwise(itertools.accumulate(map(len, parts), initial=0))
        places = [range(*bound) for bound in bounds]
        return [
            [(sum(each[i][member] for i in place), sum(counts[i] for i in place)) for place in places]
            for member in range(num_members)
        ]

    def _losses_of(
        self, model: Model, examples: Sequence[SequenceT], num_members: int
    ) -> list[tuple[float, ...]]:
        """For each example of a batch, by member, the loss summed over its targets."""
        batch = self.collate([examples] * num_members).to(model.device)
        sizes = [example.num_targets(self.limit.num_tokens) for example in examples] * num_members
        with model.placement.autocast():
            sums = language_model_loss_sums(model.net, batch, [0.0] * len(sizes), sizes)
        return list(zip(*sums.view(num_members, -1).tolist(), strict=True))

    def _loss_sums_of(
        self, model: Model, examples: Sequence[SequenceT], num_members: int
    ) -> tuple[list[float], int]:
        """For each member the loss summed over the targets of a batch, and how many there are."""
        batch = self.collate([examples] * num_members)
        with model.placement.autocast():
            sums: list[float] = self.loss_sums(model, batch, [0.0] * num_members).tolist()
        return sums, batch.num_targets[0]

    def vocabulary(self, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """The tokens, and those that the base has no row for."""
        return Vocabulary.of(tokenizer, self.vocab_size)

    def prompt_limit(self) -> Limit:
        """A prompt may have as many tokens as the new ones leave positions for."""
        new = self.decode.max_new_tokens
        room = 2**31 if self.num_positions is None else max(self.num_positions - new, 1)
        return Limit(room, f" before {new:,} new ones", cut=_CUT_PROMPT)


def encoded_prompts(
    ids: Sequence[list[int]], spelt: Sequence[str], limit: Limit, vocabulary: Vocabulary
) -> Encoded[list[int]]:
    """What decoding starts from, and as texts. What is more than `limit` tokens loses its beginning when decoded."""
    lengths, most = [len(each) for each in ids], limit.num_tokens
    faults = vocabulary.faults(zip((each[-most:] for each in ids), spelt, strict=True))
    return Encoded(ids, lengths, limit, [i for i, n in enumerate(lengths) if n > most], faults=faults)


def block_of(
    examples: Sequence[SequenceT], spelt: Iterable[str], limit: Limit, vocabulary: Vocabulary
) -> Block[SequenceT]:
    """What is learned from, and as texts. What lies behind `limit` tokens is dropped when a batch is made."""
    lengths, most = [example.length for example in examples], limit.num_tokens
    kept = (example.ids[:most] for example in examples)
    return Block(
        examples,
        lengths,
        cut=[i for i, length in enumerate(lengths) if length > most],
        without_target=[i for i, example in enumerate(examples) if not example.num_targets(most)],
        faults=vocabulary.faults(zip(kept, spelt, strict=True)),
    )


class Decoder(LanguageModel[RowT, SequenceT]):
    """A language model whose predictions are texts that it writes."""

    @override
    def can_predict_members(self, model: Model) -> bool:
        return super().can_predict_members(model) and beams_can_share_a_row(model.net)


@contextmanager
def merged(model: Model) -> Iterator[None]:
    """The LoRA layers are merged inside the block, by products in the model's number format."""
    with ExitStack() as stack:
        with model.placement.autocast():
            stack.enter_context(lora.merged(model.net))
        yield


def computed(model: Model, generated: Iterator[ItemT]) -> Iterator[ItemT]:
    """Each item, computed in the model's number format; in between, that of whoever takes it holds."""
    while True:
        with model.placement.autocast():
            try:
                item = next(generated)
            except StopIteration:
                return
        yield item


def predictions_of(
    texts: Iterable[tuple[int, str]],
    items: Sequence[int],
    evidence: Sequence[Sequence[tuple[float, ...]]] | None,
    num_members: int,
) -> list[list[Prediction]]:
    """For each member, what it has written for the items, as `generate` numbers the texts."""
    found: list[list[Prediction]] = [[] for _ in range(num_members)]
    for index, text in texts:
        member, place = divmod(index, len(items))
        behind = () if evidence is None else evidence[member][place]
        found[member].append(Prediction(items[place], text, behind))
    return found


def beam_search(decode: DecodeSection, model: Model, end_ids: Sequence[int] = ()) -> BeamSearch:
    """The search of `decode`. Without `eos_token_ids` a text ends with `end_ids`, and as the base says.

    Raises NotFoundError where no token ends a text.
    """
    ends = decode.eos_token_ids or tuple(
        dict.fromkeys((*end_ids, *model.end_tokens(none_is_fine=bool(end_ids))))
    )
    return BeamSearch(
        num_beams=decode.num_beams,
        length_penalty=decode.length_penalty,
        no_repeat_ngram_size=decode.no_repeat_ngram_size,
        max_new_tokens=decode.max_new_tokens,
        eos_token_ids=ends,
    )


def loss_of(prediction: Prediction) -> dict[str, float]:
    """Of what was measured for an item: the loss per token, and the number of tokens; {} where nothing was."""
    match prediction.evidence:
        case (loss, num_targets) if num_targets:
            return {"loss": loss / num_targets, "num_targets": int(num_targets)}
    return {}


def score_likelihoods(
    metrics: Sequence[Metric[Any, Any]], predictions: Sequence[Prediction], parts: Sequence[str]
) -> Scores:
    """Metrics that read how likely the model finds the texts."""
    evidence = [prediction.evidence for prediction in predictions]
    texts = [()] * len(evidence)  # the model has read them
    return score_by(
        metrics, texts, texts, splits=parts if any(parts) else None, views={"evidence": (evidence, texts)}
    )


def pieces(
    tokenizer: PreTrainedTokenizerBase, example: EncodedSequence, max_length: int
) -> dict[str, object]:
    """An example as JSON: its text in stretches that are learned or not, and its ids.

    `target_ids[i]` is the token after `input_ids[i]`; it counts in the loss where `target_mask[i]` is true.
    """
    kept = list(zip(example.ids[:max_length], example.is_target[:max_length], strict=True))
    stretches = [
        {"text": str(tokenizer.decode([id_ for id_, _ in tokens])), "learned": learned}
        for learned, tokens in itertools.groupby(kept, key=lambda token: token[1])
    ]
    return {
        "pieces": stretches,
        "input_ids": example.inputs(max_length),
        "target_ids": [id_ for id_, _ in kept[1:]],
        "target_mask": example.target_mask(max_length),
    }


def _validation_batches(examples: Sequence[TokenSequence]) -> list[list[int]]:
    """Examples of like lengths together, by index, about _VALIDATION_TOKENS in a row."""
    lengths = [example.length for example in examples]
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or lengths[index] * (len(batches[-1]) + 1) > _VALIDATION_TOKENS:
            batches.append([])
        batches[-1].append(index)
    return batches
