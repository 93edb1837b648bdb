"""Is it the same together as one at a time? Tried on a small copy of a net of which no test has proven it.

The copy has the class and the config of the net, tiny sizes and windows shorter than the texts (`shrink`), and
random weights that make its opinions differ.
"""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import transformers
from torch import Tensor, nn
from transformers import PretrainedConfig

from lorafit.metrics import Kind
from lorafit.models.attention.packing import PackedRow, take_packed_rows
from lorafit.models.families import Family, is_proven, token_ids
from lorafit.models.model import Model, accepted
from lorafit.models.trials.shrink import small_configs
from lorafit.models.trials.verdicts import verdict

Reading = Literal["packed", "padded", "single"]
"""How a net reads several texts: end to end in one row, one below the other with padding, or each on its own."""

Way = Callable[[Model, Sequence[Tensor]], Tensor]

READINGS: tuple[Reading, ...] = ("packed", "padded", "single")

_LENGTHS = (21, 5, 11, 7)  # of the texts: longer and shorter than a window
_MAX_PARAMETERS = 20_000_000
_NO_DROPOUT = 1e-12  # rounds to nothing, and yet the attention takes the way that it takes with dropout
_OUTPUTS_AGREE = 1e-4  # of the largest; float32 differs by 1e-6, a leak by 1e-2
_GRADIENTS_AGREE = 1e-3


def way_to_read(family: Family, config: PretrainedConfig, output: Kind) -> Reading:
    """The fastest way in which a net of that config reads several texts with the result of each on its own."""
    if is_proven(family):
        is_known = output == "text" or bool(family.heads[output].way(config))
        return "packed" if family.pluggable_attention and is_known else "padded"
    return way_by_trial(family, config, output)


def way_by_trial(family: Family, config: PretrainedConfig, output: Kind) -> Reading:
    """What `way_to_read` tells of an architecture that no test knows.

    Where no small copy can be made: padded where texts are written, since no token sees what stands behind it.
    """
    found = with_small_copy(f"reading for {output}", family, config, output, _reading)
    return next((way for way in READINGS if way == found), "padded" if output == "text" else "single")


def with_small_copy(
    question: str, family: Family, config: PretrainedConfig, output: Kind, answer: Callable[[Model], str]
) -> str | None:
    """The answer about a small copy of a net, from the cache or found out; None where no copy can be made."""
    candidates = (_silenced(family, small) for small in small_configs(config))
    try:
        smallest = next(candidates)
    except Exception:  # a config that does not let its sizes be changed
        return None

    def find_out() -> str:
        with _undisturbed():
            copies = (_copy(family, small, output) for small in itertools.chain([smallest], candidates))
            copy = next((copy for copy in copies if copy is not None), None)
            try:
                return "" if copy is None else answer(copy)
            except Exception:  # a copy that runs, and cannot be asked
                return ""

    return verdict(question, smallest, find_out) or None


def agree(found: Tensor, expected: Tensor, share: float = _OUTPUTS_AGREE) -> bool:
    """Whether two tensors are the same but for rounding, and say anything at all."""
    largest = expected.abs().max()
    return bool(largest.isfinite() and largest > 0 and (found - expected).abs().max() <= share * largest)


def random_texts(copy: Model, lengths: Sequence[int]) -> list[Tensor]:
    """Token ids [length] each, from the middle of the vocabulary: special tokens stand at its ends.

    A text that gets a label ends with end-of-text: some heads look for it.
    """
    generator, margin = torch.Generator().manual_seed(0), copy.vocab_size // 6
    tokens = (margin, copy.vocab_size - margin)
    texts = [torch.randint(*tokens, (length,), generator=generator) for length in lengths]
    text_config = copy.family.text_config(copy.net.config)
    ends = [token for token in token_ids(text_config.eos_token_id) if token != text_config.pad_token_id]
    for text in texts if copy.output != "text" and ends else ():
        text[-1] = ends[0]
    return texts


@dataclass(frozen=True)
class _Answers:
    """Of a net in one mode: its outputs, and the gradients of all parameters, flattened."""

    training: bool
    outputs: Tensor
    gradients: Tensor

    @staticmethod
    def of(copy: Model, way: Way, texts: Sequence[Tensor], *, training: bool) -> _Answers:
        copy.net.train(training)
        outputs = way(copy, texts)
        return _Answers(training, outputs.detach(), _all_gradients(copy, outputs))

    def are_given_by(self, copy: Model, way: Way, texts: Sequence[Tensor]) -> bool:
        """Whether another way gives them; what fails does not."""
        try:
            found = _Answers.of(copy, way, texts, training=self.training)
        except Exception:  # whatever an architecture makes of inputs that it does not know
            return False
        same = agree(found.outputs, self.outputs)
        return same and agree(found.gradients, self.gradients, _GRADIENTS_AGREE)


def _reading(copy: Model) -> Reading:
    """The fastest way that gives what each text on its own gives, while training and while evaluating."""
    texts = random_texts(copy, _LENGTHS)
    training, *answers = (
        _Answers.of(copy, outputs_of_each, texts, training=training) for training in (True, False)
    )
    if training.are_given_by(
        copy, outputs_of_each, texts
    ):  # else it draws noise of its own, such as for its experts
        answers = [training, *answers]

    def is_right(way: Way) -> bool:
        return all(each.are_given_by(copy, way, texts) for each in answers)

    if not is_right(_padded):
        return "single"
    if _may_pack(copy) and _tells_texts_apart(copy, texts):
        take_packed_rows(copy.net)
        if is_right(_packed) and is_right(_padded):
            return "packed"
    return "padded"


def _may_pack(copy: Model) -> bool:
    """Whether attention goes through transformers' AttentionInterface, and the way from a packed row is known."""
    return type(copy.net)._can_set_attn_implementation() and (
        copy.output == "text" or bool(copy.head.way(copy.net.config))
    )


def gradients(parameters: Sequence[Tensor], outputs: Tensor) -> list[Tensor]:
    """Of a sum of all outputs, each with a weight of its own; zeros where none comes back."""
    weights = torch.linspace(-1.0, 1.0, outputs.numel()).view(outputs.shape)
    found = torch.autograd.grad((outputs * weights).sum(), parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def _all_gradients(copy: Model, outputs: Tensor) -> Tensor:
    parameters = [p for p in copy.net.parameters() if p.requires_grad]
    return torch.cat([gradient.flatten() for gradient in gradients(parameters, outputs)])


@torch.no_grad()
def _tells_texts_apart(copy: Model, texts: Sequence[Tensor]) -> bool:
    """Whether a text's outputs depend on the one before it where nothing keeps them apart: else no leak would show."""
    if copy.output != "text":
        return True
    copy.net.eval()
    together = copy.net(input_ids=torch.cat(list(texts))[None], **_options(copy)).logits[0]
    return not agree(together, outputs_of_each(copy, texts), 100 * _OUTPUTS_AGREE)


def outputs_of_each(copy: Model, texts: Sequence[Tensor]) -> Tensor:
    """The outputs for every token of all texts, or for every text, each text on its own."""
    return torch.cat(
        [copy.net(input_ids=text[None], **_options(copy)).logits.flatten(0, -2) for text in texts]
    )


def _padded(copy: Model, texts: Sequence[Tensor]) -> Tensor:
    ids = nn.utils.rnn.pad_sequence(list(texts), batch_first=True)
    lengths = [len(text) for text in texts]
    mask = (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).long()
    if copy.output != "text":
        return copy.head_outputs(ids, lengths, attention_mask=mask)
    logits: Tensor = copy.net(input_ids=ids, attention_mask=mask, **_options(copy)).logits
    return logits[mask.bool()]


def _packed(copy: Model, texts: Sequence[Tensor]) -> Tensor:
    row = PackedRow.of([len(text) for text in texts], torch.device("cpu"))
    positions = torch.cat([torch.arange(len(text)) for text in texts])[None]
    ids = torch.cat(list(texts))[None]
    if copy.output != "text":
        first = copy.family.first_position(copy.net.config)
        return copy.head_outputs(ids, row.lengths, position_ids=positions + first)
    options = _options(copy)
    logits: Tensor = copy.net(input_ids=ids, position_ids=positions, packed_row=row, **options).logits
    return logits[0]


def _options(copy: Model) -> dict[str, object]:
    return accepted(copy.net, use_cache=False)


def _silenced(family: Family, config: PretrainedConfig) -> PretrainedConfig:
    """Without dropout, and with a padding token, which a head that reads the last token asks for."""
    text = family.text_config(config)
    for key in family.dropouts:
        setattr(text, key, _NO_DROPOUT)
    if getattr(text, "pad_token_id", None) is None:
        text.pad_token_id = 0
    return config


def _copy(family: Family, config: PretrainedConfig, output: Kind) -> Model | None:
    """A net with weights of the size that keeps activations as large as they are; None where it cannot be made."""
    try:
        auto_class = family.heads[output].auto_class
        with torch.device("meta"):
            shape = auto_class.from_config(config, trust_remote_code=False)
        if sum(p.numel() for p in shape.parameters()) > _MAX_PARAMETERS:
            return None
        net = auto_class.from_config(config, dtype=torch.float32, trust_remote_code=False)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.p = _NO_DROPOUT
        copy = Model(net.eval(), None, family, output)
        outputs_of_each(copy, random_texts(copy, _LENGTHS))
    except Exception:  # whatever a config or its net raises
        return None
    return copy


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Nothing is drawn from torch's generator, and nothing is said."""
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity(logging.CRITICAL)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
            torch.manual_seed(0)
            yield
    finally:
        transformers.utils.logging.set_verbosity(level)
