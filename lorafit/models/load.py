"""Base models and tokenizers from a local folder, the Hugging Face cache or the hub; a failure is one clear line."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import transformers
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GPT2Tokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from lorafit.errors import Advice, DataError, NotFoundError, RecipeError
from lorafit.files import local_path
from lorafit.metrics import Kind
from lorafit.models.activations import fuse_activations
from lorafit.models.added_rows import add_rows, add_tokens, plan_tokens, planned_tokens
from lorafit.models.contradictions import surplus, tied_and_different, untie
from lorafit.models.families import family_of
from lorafit.models.files.folder import base_folder, check_folder, hub_id_or_path, not_found
from lorafit.models.model import Model
from lorafit.models.shapes import KNOWN_SHAPES

Shape = tuple[int, ...]


def load_config(
    base: str,
    revision: str | None = None,
    *,
    dropout: float | None = None,
    head_dropout: float | None = None,
    num_labels: int | None = None,
    tokens: Sequence[str] = (),
    local_only: bool = False,
) -> PretrainedConfig:
    """The base's config with the recipe's dropouts; what its files contradict is as transformers takes it. `tokens`
    that its tokenizer lacks are noted there, so that whatever is made of the config has rows for them.

    With `local_only` nothing is fetched: the Hugging Face cache is asked, then the shapes of the paper's bases that
    lorafit knows by heart. Raises NotFoundError when there is no such base, RecipeError for a dropout that the
    architecture does not have.
    """
    config = _own_config(base, revision, local_only=local_only)
    if _tied_and_different(config, base, revision) is not None:
        untie(config)
    _set_dropouts(config, dropout, head_dropout)
    if num_labels is not None:
        config.num_labels = num_labels
    if tokens:
        num_rows = getattr(family_of(config).text_config(config), "vocab_size", None)
        plan_tokens(config, num_rows, load_tokenizer(base, revision), tokens)
    return config


def tie_note(base: str, revision: str | None = None) -> str | None:
    """What to say of a base whose config ties weights that its files hold with different values; mostly None."""
    names = _tied_and_different(_own_config(base, revision, local_only=True), base, revision)
    if names is None:
        return None
    return (
        f"{base}: config.json ties {names[0]} and {names[1]} (tie_word_embeddings), and the files hold two different "
        f"ones; both are used, each in its place, as transformers does"
    )


def _own_config(base: str, revision: str | None, *, local_only: bool) -> PretrainedConfig:
    """As the base's files have it."""
    check_folder(base)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            hub_id_or_path(base), revision=revision, local_files_only=local_only, trust_remote_code=False
        )
    except (
        Exception
    ) as error:  # of a config.json that is none, transformers raises what its classes stumble over
        if base not in KNOWN_SHAPES:
            raise not_found("base model", base, revision, error, asked=not local_only) from error
        shape = dict(KNOWN_SHAPES[base])
        config = AutoConfig.for_model(shape.pop("model_type"), **shape)
    _check_pad_token(config, base)
    return config


def _check_pad_token(config: PretrainedConfig, base: str) -> None:
    """The pad token must be a row of the embedding; below 0, as in the first Llama's config, there is none."""
    text = family_of(config).text_config(config)
    pad, size = getattr(text, "pad_token_id", None), getattr(text, "vocab_size", None)
    if pad is not None and pad < 0:
        text.pad_token_id = None
    elif pad is not None and size is not None and pad >= size:
        raise DataError(
            f"{base}: its config.json says pad_token_id {pad}, and its embedding has {size:,} rows, counted from 0",
            Advice("correct the file"),
        )


def _tied_and_different(config: PretrainedConfig, base: str, revision: str | None) -> tuple[str, str] | None:
    try:
        return tied_and_different(config, base_folder(base, revision))
    except NotFoundError:  # not downloaded yet
        return None


def _set_dropouts(config: PretrainedConfig, dropout: float | None, head_dropout: float | None) -> None:
    family = family_of(config)
    text = family.text_config(config)
    if dropout and not family.dropouts:
        raise RecipeError(f"[model] dropout: {config.model_type} has no dropout in its base; leave it out")
    for key in family.dropouts if dropout is not None else ():
        setattr(text, key, dropout)
    if head_dropout is None:
        return
    head = family.heads.get("label")
    if head is None or not head.dropout_key:
        raise RecipeError(
            f"[model] head_dropout: {config.model_type} has no classification head with dropout"
        )
    setattr(config, head.dropout_key, head_dropout)


def load_tokenizer(base: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The base's own tokenizer, which may lie in a folder alone. Raises NotFoundError when the base has none."""
    folder = local_path(base)
    alone = folder.is_dir() and not (folder / "config.json").is_file() and (folder / "merges.txt").is_file()
    if not alone:
        check_folder(base)
    with _quiet():
        try:
            source = hub_id_or_path(base)
            # Without a config nothing but the files' names says which tokenizer it is.
            kind: Any = GPT2Tokenizer if alone else AutoTokenizer
            tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(
                source, revision=revision, trust_remote_code=False
            )
        except Exception as error:  # tokenizers raise a bare Exception; a package may be missing
            raise not_found("tokenizer", base, revision, error) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise NotFoundError(
            f"{base}: its tokenizer has no vocabulary; put tokenizer.json or vocab.json and merges.txt there"
        )
    return tokenizer


def load_base(
    config: PretrainedConfig, base: str, revision: str | None, output: Kind, *, head_seed: int = 0
) -> Model:
    """The base with its weights in float32 and its tokenizer.

    Every tensor of the base must have been read; only a classification head may be fresh: it is drawn from `head_seed`.
    Raises NotFoundError when weights are missing, damaged, or of another shape.
    """
    tokenizer = load_tokenizer(base, revision)
    family = family_of(config)
    if reads_last_token(config, output):
        set_pad_token(config, tokenizer)
    with _quiet():
        try:
            net, report = family.heads[output].auto_class.from_pretrained(
                hub_id_or_path(base),
                config=config,
                revision=revision,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        except (
            Exception
        ) as error:  # transformers raises OSError, ValueError, RuntimeError, SafetensorError, pickle errors…
            raise not_found("weights", base, revision, error) from error
    unread = sorted(report["missing_keys"])
    mismatched = {str(name): (tuple(held), tuple(asked)) for name, held, asked in report["mismatched_keys"]}
    if bad := [name for name in (*unread, *sorted(mismatched)) if not family.is_head(name, output)]:
        raise _misfit(base, net, bad, mismatched)
    fresh = (*unread, *mismatched)
    draw_head(net, fresh, torch.Generator().manual_seed(head_seed))
    if (added := planned_tokens(config)) is not None:
        add_tokens(tokenizer, added.tokens)
        add_rows(net)
    fuse_activations(net)
    model = Model(net.eval(), tokenizer, family, output)
    notes = (tie_note(base, revision), _surplus_note(base, model, sorted(report["unexpected_keys"])))
    return replace(model, notes=tuple(note for note in notes if note is not None), fresh=fresh)


def _misfit(
    base: str, net: PreTrainedModel, bad: Sequence[str], mismatched: Mapping[str, tuple[Shape, Shape]]
) -> NotFoundError:
    """Tensors of the base that its files lack, or hold in another shape."""
    output = net.get_output_embeddings()
    lacks_output = output is not None and net.get_parameter(bad[0]) is output.get_parameter("weight")
    if lacks_output and len(bad) == 1 and bad[0] not in mismatched:
        return NotFoundError(
            f"{base}: config.json makes the output embedding a weight of its own (tie_word_embeddings is false), "
            f"and the files have no {bad[0]!r}: transformers would draw it at random",
            Advice("put it there, or let tie_word_embeddings be true where it is the input embedding"),
        )
    shapes = mismatched.get(bad[0])
    detail = f"{bad[0]!r}" + (f", {list(shapes[0])} instead of {list(shapes[1])}" if shapes else "")
    return NotFoundError(
        f"{base}: {len(bad)} tensors of the base are missing or of another shape, such as {detail}; "
        f"these are not the weights of this {net.config.model_type} config"
    )


def _surplus_note(base: str, model: Model, unexpected: Sequence[str]) -> str | None:
    names = surplus(model, unexpected)
    if not names:
        return None
    return (
        f"{base}: {len(names)} tensors of its files have no place in the model of its config.json, such as "
        f"{names[0]!r}; they are left out, as transformers does"
    )


def reads_last_token(config: PretrainedConfig, output: Kind) -> bool:
    """Whether the head looks for the last token that is not padding, and so must know which token that is."""
    return family_of(config).heads[output].reads == "last"


def set_pad_token(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Let padding be what the tokenizer pads with, else the config's own, else the tokenizer's end of text.

    The tokenizer comes first: transformers pads with its token, and looks for the last one that is not the config's.
    Raises NotFoundError where there is none, or the base's embedding has no row for them.
    """
    text = family_of(config).text_config(config)
    candidates = (tokenizer.pad_token_id, text.pad_token_id, tokenizer.eos_token_id)
    ids = [token for token in candidates if token is not None]
    with_row = [token for token in ids if 0 <= token < getattr(text, "vocab_size", math.inf)]
    if not ids:
        raise NotFoundError(f"{tokenizer.name_or_path}: its tokenizer has neither pad_token nor eos_token")
    if not with_row:
        raise NotFoundError(
            f"{tokenizer.name_or_path}: neither pad_token nor eos_token of its tokenizer has a row in the embedding"
        )
    text.pad_token_id = with_row[0]


@torch.no_grad()
def draw_head(net: PreTrainedModel, names: Iterable[str], generator: torch.Generator) -> None:
    """A fresh head as the original code draws it: weights from N(0, initializer_range), biases 0, norms 1."""
    fresh = set(names)
    for name, parameter in net.named_parameters():
        if name not in fresh:
            continue
        if parameter.ndim > 1:
            std = getattr(net.config, "initializer_range", 0.02)
            drawn = torch.randn(parameter.shape, generator=generator) * std
            parameter.copy_(drawn)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Loading reports and progress bars of transformers are said better by us."""
    had_progress_bars = not are_progress_bars_disabled()
    level = logging.getLogger("transformers").level
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.getLogger("transformers").setLevel(level)
        if had_progress_bars:
            transformers.utils.logging.enable_progress_bar()
