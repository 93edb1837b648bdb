"""Base models and tokenizers from a local folder, the Hugging Face cache or the hub; a failure is one clear line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from torch import nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GPT2Tokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from lorafit.errors import Advice, NotFoundError, RecipeError, SetKey
from lorafit.files import ASSET_PREFIX, local_path
from lorafit.metrics import Kind
from lorafit.models.activations import fuse_activations
from lorafit.models.families import family_of
from lorafit.models.model import Model
from lorafit.models.shapes import KNOWN_SHAPES


def load_config(
    base: str,
    revision: str | None = None,
    *,
    dropout: float | None = None,
    head_dropout: float | None = None,
    num_labels: int | None = None,
    local_only: bool = False,
) -> PretrainedConfig:
    """The base's config with the recipe's dropouts. With `local_only` nothing is fetched: the Hugging Face cache is
    asked, then the shapes of the paper's bases that lorafit knows by heart.

    Raises NotFoundError when there is no such base, RecipeError for a dropout that the architecture does not have.
    """
    _check_folder(base)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            _hub_id_or_path(base), revision=revision, local_files_only=local_only, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        if base not in KNOWN_SHAPES:
            raise _not_found("base model", base, revision, error) from error
        shape = dict(KNOWN_SHAPES[base])
        config = AutoConfig.for_model(shape.pop("model_type"), **shape)
    _set_dropouts(config, dropout, head_dropout)
    if num_labels is not None:
        config.num_labels = num_labels
    return config


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
        _check_folder(base)
    with _quiet():
        try:
            source = _hub_id_or_path(base)
            # Without a config nothing but the files' names says which tokenizer it is.
            kind: Any = GPT2Tokenizer if alone else AutoTokenizer
            tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(
                source, revision=revision, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _not_found("tokenizer", base, revision, error) from error
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
                _hub_id_or_path(base),
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
            raise _not_found("weights", base, revision, error) from error
    unread = sorted(report["missing_keys"])
    mismatched = sorted(str(entry[0]) for entry in report["mismatched_keys"])
    if bad := [name for name in unread + mismatched if not family.is_head(name, output)]:
        raise NotFoundError(
            f"{base}: {len(bad)} tensors of the base are missing or of another shape, such as {bad[0]!r}; "
            f"these are not the weights of this {config.model_type} config"
        )
    draw_head(net, [*unread, *mismatched], torch.Generator().manual_seed(head_seed))
    fuse_activations(net)
    return Model(net.eval(), tokenizer, family, output)


def reads_last_token(config: PretrainedConfig, output: Kind) -> bool:
    """Whether the head looks for the last token that is not padding, and so must know which token that is."""
    return family_of(config).heads[output].reads == "last"


def set_pad_token(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Let padding be what the tokenizer pads with, else the config's own, else the tokenizer's end of text.

    The tokenizer comes first: transformers pads with its token, and looks for the last one that is not the config's.
    Raises NotFoundError where there is none.
    """
    text = family_of(config).text_config(config)
    candidates = (tokenizer.pad_token_id, text.pad_token_id, tokenizer.eos_token_id)
    ids = [token for token in candidates if token is not None and 0 <= token < text.vocab_size]
    if not ids:
        raise NotFoundError(f"{tokenizer.name_or_path}: its tokenizer has neither pad_token nor eos_token")
    text.pad_token_id = ids[0]


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


def skeleton(config: PretrainedConfig, output: Kind, *, with_buffers: bool = False) -> Model:
    """The model's shape alone, on the meta device: for counting and for checking targets.

    `with_buffers`: what is computed and not stored is real, so that the net runs once it has weights.
    """
    family = family_of(config)
    with _parameters_on_meta() if with_buffers else torch.device("meta"):
        net: PreTrainedModel = family.heads[output].auto_class.from_config(
            config, dtype=torch.float32, trust_remote_code=False
        )
    return Model(net.eval(), None, family, output)


@contextlib.contextmanager
def _parameters_on_meta() -> Iterator[None]:
    register = nn.Module.register_parameter

    def without_storage(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:  # a tied one stays the same object
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = without_storage  # type: ignore
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def base_folder(base: str, revision: str | None = None) -> Path:
    """The local folder that holds the base's files: the folder itself, or its place in the Hugging Face cache."""
    if local_path(base).is_dir():
        return local_path(base)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(base, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise _not_found("files", base, revision, error) from error


def _hub_id_or_path(base: str) -> str:
    return str(local_path(base)) if local_path(base).is_dir() else base


def _check_folder(base: str) -> None:
    """A path that is meant as a folder must be one, lest it be looked up on the hub under a puzzling name."""
    path = local_path(base)
    looks_like_path = base.startswith((".", "/", "~", ASSET_PREFIX)) or base.count("/") > 1
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise NotFoundError(
                f"{base}: no config.json there; a base is a Hugging Face model folder or a hub id"
            )
    elif looks_like_path or path.exists():
        raise NotFoundError(f"{base}: no such folder; a base is a Hugging Face model folder or a hub id")


def _not_found(what: str, base: str, revision: str | None, error: Exception) -> NotFoundError:
    where = f"{base}@{revision}" if revision else base
    if local_path(base).is_dir():
        first_line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return NotFoundError(f"{where}: its {what} cannot be read: {first_line.strip()}")
    return NotFoundError(
        f"{where}: {what} not found in the Hugging Face cache, and the hub gave none",
        Advice("check the id and the network"),
        SetKey("model.base", "FOLDER", "a folder on this machine"),
    )


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
