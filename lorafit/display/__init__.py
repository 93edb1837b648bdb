"""The terminal: `Display` shows events as they come; a module for each area shows its results. Only this room has rich.

Every result has two forms: for people on stdout, and, with `--json`, one JSON value on stdout with everything else on
stderr.
"""

from lorafit.display.display import Display

__all__ = ["Display"]
