#!/usr/bin/env bash
# Convert bases and merged folders with llama.cpp's own convert_hf_to_gguf.py, which lies in llama-cpp-python's sources
# (77 MB), and compute with adapters beside them: every architecture, some minutes.
#   scripts/stress/llama_cpp.sh [FOLDER]    (keeps the sources there; else in a temporary folder)
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
work=${1:-$(mktemp -d)}
version=0.3.36
if [ ! -d "$work/llama_cpp_python-$version" ]; then
    "$PYTHON" -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest "$work" llama-cpp-python==$version
    tar -xzf "$work/llama_cpp_python-$version.tar.gz" -C "$work"
    "$PYTHON" -m pip install --quiet --no-deps --target "$work/packages" sentencepiece protobuf
fi
export LLAMA_CPP=$work/llama_cpp_python-$version/vendor/llama.cpp LLAMA_CPP_PACKAGES=$work/converter
if [ ! -d "$LLAMA_CPP_PACKAGES" ]; then  # what the converter asks for, its transformers among it
    "$PYTHON" -m pip install --quiet --target "$LLAMA_CPP_PACKAGES" \
        --requirement "$LLAMA_CPP/requirements/requirements-convert_legacy_llama.txt"
fi
PYTHONPATH=$work/packages${PYTHONPATH:+:$PYTHONPATH} "$PYTHON" -m pytest -q -s -p no:xdist tests/interop/test_stock_converter.py
