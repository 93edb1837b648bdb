"""One file a family: every fact of an architecture is there. To add one: its file, and its value into FAMILIES."""

from __future__ import annotations

import transformers
from transformers import PretrainedConfig

from lorafit.models.families.base import Family, Place
from lorafit.models.families.bert import BERT
from lorafit.models.families.deberta_v2 import DEBERTA_V2
from lorafit.models.families.gpt2 import GPT2
from lorafit.models.families.heads import Head
from lorafit.models.families.llama import LLAMA
from lorafit.models.families.mistral import MISTRAL
from lorafit.models.families.qwen2 import QWEN2
from lorafit.models.families.qwen3 import QWEN3
from lorafit.models.families.roberta import ROBERTA
from lorafit.models.families.structure import family_by_structure
from lorafit.models.families.words import ALL_LINEAR, LOGICAL_TARGETS
from lorafit.models.families.xlm_roberta import XLM_ROBERTA

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (GPT2, ROBERTA, XLM_ROBERTA, BERT, DEBERTA_V2, LLAMA, MISTRAL, QWEN2, QWEN3)
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
    "family_of",
    "is_proven",
]


def family_of(config: PretrainedConfig) -> Family:
    """The family of a base. One without a file gets what its structure tells, and never fails."""
    known = FAMILIES.get(config.model_type)
    return known if known is not None else family_by_structure(config)


def is_proven(family: Family) -> bool:
    """Whether tests have proven what the family says of itself, with the version of transformers that is here."""
    version = ".".join(transformers.__version__.split(".")[:2])
    return family.model_type in FAMILIES and version in TESTED_TRANSFORMERS
