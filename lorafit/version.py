"""The version of lorafit, for what it writes and signs."""

__version__ = "0.1.0"
