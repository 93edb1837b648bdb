#!/bin/bash
# Submit a whole table of the paper, every recipe with every seed:
#
#   scripts/slurm/table.sh TABLE [sbatch options]        for instance: SEEDS="0 1 2" scripts/slurm/table.sh 2 --gpus=1
#
# A task that starts from another run's adapter (RTE, MRPC and STS-B from MNLI) waits for that run (afterok). Runs that are
# finished already are left out. DRY_RUN=1 shows what would be submitted. $PYTHON is a Python that has lorafit.
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "usage: $0 TABLE [sbatch options]" >&2
    exit 2
fi
table=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
read -ra seeds <<<"${SEEDS:-0}"

# Lines of `recipe source seed`: the run whose adapter the recipe starts from, or two dashes. Sources come first.
list_recipes() {
    "${PYTHON:-python3}" - "$table" <<'PYTHON'
import sys
from pathlib import Path

from lorafit.recipe import read_layers, shipped_recipes

recipes = {name: read_layers(path).document for name, path in shipped_recipes().items()}
sources = {}
for name, recipe in recipes.items():
    if recipe.get("paper", {}).get("table") == sys.argv[1]:
        start = recipe["method"].get("init_from")
        run = Path(start).parent if start else None  # runs/<recipe>/seed-<n>/adapter
        sources[name] = (run.parent.name, run.name.removeprefix("seed-")) if run else ("-", "-")
if not sources:
    tables = sorted({r["paper"]["table"] for r in recipes.values() if "table" in r.get("paper", {})})
    sys.exit(f"no shipped recipe stands for a row of table {sys.argv[1]}; there are {', '.join(tables)}")
for name, (source, seed) in sorted(sources.items(), key=lambda item: item[1][0] != "-"):
    print(name, source, seed)
PYTHON
}

declare -A jobs

# submit RECIPE SEED [sbatch options]: the job's number in jobs[RECIPE/SEED], or "done".
submit() {
    local recipe=$1 seed=$2
    shift 2
    [ -z "${jobs[$recipe/$seed]:-}" ] || return 0
    if [ -f "runs/$recipe/seed-$seed/scores.json" ]; then
        jobs[$recipe/$seed]=done
        echo "$recipe seed $seed: finished already"
    elif [ -n "${DRY_RUN:-}" ]; then
        jobs[$recipe/$seed]="<$recipe/$seed>"
        echo "sbatch $* $here/train.sbatch $recipe --seed $seed"
    else
        jobs[$recipe/$seed]=$(sbatch --parsable --job-name="$recipe-$seed" "$@" "$here/train.sbatch" "$recipe" --seed "$seed")
        echo "$recipe seed $seed: job ${jobs[$recipe/$seed]}"
    fi
}

recipes=$(list_recipes)
while read -r recipe source source_seed; do
    after=()
    if [ "$source" != - ]; then
        submit "$source" "$source_seed" "$@"
        job=${jobs[$source/$source_seed]}
        [ "$job" = done ] || after=(--dependency="afterok:$job")
    fi
    for seed in "${seeds[@]}"; do
        submit "$recipe" "$seed" "$@" "${after[@]}"
    done
done <<<"$recipes"
