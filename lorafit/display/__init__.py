"""The terminal: `Display` shows events as they come; one file an area shows its results. Nobody else imports rich.

Every result has two forms: for people on stdout, and, where `--json` asks for it, one JSON value on stdout with
everything else on stderr.
"""

from lorafit.display.display import Display

__all__ = ["Display"]
