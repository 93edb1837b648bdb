#!/usr/bin/env bash
# Install a wheel into an empty environment, and do there what a newcomer does first: scripts/try_wheel.sh PYTHON WHEEL
set -euo pipefail
python=$1
wheel=$(realpath "$2")
constraints=$(realpath "$(dirname "$0")/../constraints.txt")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
"$python" -m venv environment
environment/bin/python -m pip install --quiet --constraint "$constraints" "$wheel"
PATH=$place/environment/bin:$PATH
export HF_HUB_OFFLINE=1 XDG_CACHE_HOME=$place/cache
lorafit --version
lorafit doctor
lorafit recipes --table 3 > /dev/null
lorafit train quickstart --set train.max_steps=4 --set decode.max_new_tokens=4 --set eval.score_base=false
lorafit verify runs/quickstart/seed-*/adapter
lorafit show runs/quickstart/seed-*
echo "$(basename "$wheel"): works in an empty environment"
