"""LoRA fine-tuning that reproduces the LoRA paper."""

__version__ = "0.1.0"
