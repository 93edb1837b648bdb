"""One file a family: every fact of an architecture is there. To add one: its file, and its value into FAMILIES."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from lorafit.models.families.base import Family, Place, token_ids
from lorafit.models.families.bert import BERT
from lorafit.models.families.deberta_v2 import DEBERTA_V2
from lorafit.models.families.distilbert import DISTILBERT
from lorafit.models.families.electra import ELECTRA
from lorafit.models.families.gemma import GEMMA
from lorafit.models.families.gemma2 import GEMMA2
from lorafit.models.families.gemma3_text import GEMMA3_TEXT
from lorafit.models.families.gpt2 import GPT2
from lorafit.models.families.gpt_neox import GPT_NEOX
from lorafit.models.families.granite import GRANITE
from lorafit.models.families.heads import Head
from lorafit.models.families.llama import LLAMA
from lorafit.models.families.mistral import MISTRAL
from lorafit.models.families.modernbert import MODERNBERT
from lorafit.models.families.olmo2 import OLMO2
from lorafit.models.families.phi3 import PHI3
from lorafit.models.families.qwen2 import QWEN2
from lorafit.models.families.qwen3 import QWEN3
from lorafit.models.families.reach import any_number
from lorafit.models.families.roberta import ROBERTA
from lorafit.models.families.smollm3 import SMOLLM3
from lorafit.models.families.words import ALL_LINEAR, LOGICAL_TARGETS
from lorafit.models.families.xlm_roberta import XLM_ROBERTA

if TYPE_CHECKING:
    from transformers import PretrainedConfig

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        GPT2,
        ROBERTA,
        XLM_ROBERTA,
        BERT,
        DISTILBERT,
        ELECTRA,
        DEBERTA_V2,
        MODERNBERT,
        LLAMA,
        MISTRAL,
        QWEN2,
        QWEN3,
        GEMMA,
        GEMMA2,
        GEMMA3_TEXT,
        PHI3,
        OLMO2,
        SMOLLM3,
        GRANITE,
        GPT_NEOX,
    )
}

TESTED_TRANSFORMERS = ("5.23",)
"""Versions of transformers with which the contract tests have proven what the families say."""

__all__ = [
    "ALL_LINEAR",
    "FAMILIES",
    "LOGICAL_TARGETS",
    "TESTED_TRANSFORMERS",
    "Family",
    "Head",
    "Place",
    "any_number",
    "family_of",
    "is_proven",
    "token_ids",
]


def family_of(config: PretrainedConfig) -> Family:
    """The family of a base. One without a file gets what its structure tells, and never fails."""
    known = FAMILIES.get(config.model_type)
    if known is None or (getattr(config, "is_decoder", False) and "text" not in known.heads):
        from lorafit.models.families.structure import family_by_structure

        return family_by_structure(config)  # such as a BERT that reads from left to right
    return known


def is_proven(family: Family) -> bool:
    """Whether tests have proven what the family says of itself, with the version of transformers that is here."""
    return FAMILIES.get(family.model_type) == family and _transformers_here() in TESTED_TRANSFORMERS


@cache
def _transformers_here() -> str:
    return ".".join(version("transformers").split(".")[:2])
