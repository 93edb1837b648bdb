"""XLM-RoBERTa (Conneau et al. 2020): RoBERTa with another vocabulary."""

from __future__ import annotations

from lorafit.models.families.roberta import roberta_like

XLM_ROBERTA = roberta_like("xlm-roberta")
