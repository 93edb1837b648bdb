#!/bin/sh
# Training on one GPU, lorafit and PEFT side by side, in under ten minutes: `scripts/bench/gpu.sh [--write]`.
# Without a GPU, `scripts/bench/gpu.sh --tiny` goes every way once on tiny shapes. See gpu.py for the rest.
set -eu
exec "${PYTHON:-python}" "$(dirname "$0")/gpu.py" "$@"
