"""`python -m lorafit` and the `lorafit` console script."""

from __future__ import annotations

import os
import signal
import sys
import threading


def main() -> None:
    """Run the command line."""
    # Before any of these libraries is imported: no telemetry, and no messages beside our own.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # unset, it warns where something forks
    # Threads that wait spin for some microseconds alone: longer, they starve others that compute here, and are starved.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

    from lorafit.cli.app import app

    if threading.current_thread() is threading.main_thread():
        # An error like any other: what was half-written is cleared away. By itself the signal ends the process at once.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app(prog_name="lorafit")
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
