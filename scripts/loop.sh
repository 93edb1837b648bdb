#!/bin/bash
# Every recipe with every seed, one after the other, on a machine without Slurm:
#
#   RECIPES="e2e_gpt2m e2e_gpt2m_ft" SEEDS="1 2 3" scripts/loop.sh [options of lorafit train]
#
# A run that was interrupted (exit code 75) goes on at once, unless it was you who interrupted: then all ends, and the same
# command goes on later. Finished runs are passed over, so the loop may be started as often as you like. A run that fails
# does not stop the others; the loop ends with the last failure's exit code. $LORAFIT is the command, by default `lorafit`.

read -ra recipes <<<"${RECIPES:?set RECIPES to the names of recipes}"
read -ra seeds <<<"${SEEDS:-0}"
stopping=
run=
trap 'stopping=1; signalled=1; kill -TERM "$run" 2>/dev/null' TERM INT

# once OPTIONS...: one attempt; its exit code, waited for through signals.
once() {
    # shellcheck disable=SC2086 # $LORAFIT may hold several words
    ${LORAFIT:-lorafit} train "$@" &
    run=$!
    while :; do
        signalled=
        wait "$run"
        code=$?
        [ -n "$signalled" ] || break # else a signal ended the wait, not the run
    done
    return "$code"
}

failure=0
for recipe in "${recipes[@]}"; do
    for seed in "${seeds[@]}"; do
        echo "== $recipe, seed $seed"
        code=75
        while [ "$code" -eq 75 ] && [ -z "$stopping" ]; do
            once "$recipe" --seed "$seed" "$@"
            code=$?
        done
        [ -z "$stopping" ] || exit 75
        if [ "$code" -ne 0 ]; then
            echo "$recipe, seed $seed: exit code $code" >&2
            failure=$code
        fi
    done
done
exit "$failure"
