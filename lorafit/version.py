"""The version of lorafit, for what it writes and signs."""

__version__ = "0.2.0"
