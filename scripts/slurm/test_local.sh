#!/bin/bash
# Try the Slurm scripts against a real Slurm: a cluster of this one machine, with its own configuration and keys in a
# temporary folder (nothing of a Slurm that is installed here is touched). A job is submitted and preempted; it must save,
# go back into the queue, go on and finish. Then an array job and a run on two processes.
#
#   scripts/slurm/test_local.sh         needs root; installs Debian's slurm-wlm and munge where they are missing
#
# Exit code 0 where all went well, and also, with a word on why, where Slurm cannot be had. $PYTHON is a Python that has
# lorafit; KEEP=1 leaves the folder.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
PATH=$PATH:/usr/sbin:/sbin

skip() {
    echo "skipped: $1"
    exit 0
}

fail() {
    echo "FAILED: $1" >&2
    tail -n 25 "$work"/*.log "$work"/out/*.log >&2 2>/dev/null
    exit 1
}

[ "$(id -u)" -eq 0 ] || skip "the daemons of Slurm need root"
if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    command -v apt-get >/dev/null || skip "there is no Slurm here, and no apt-get to install it"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge >/dev/null 2>&1 ||
        skip "slurm-wlm and munge cannot be installed here"
fi

python=$(command -v "${PYTHON:-python3}") || skip "no Python at ${PYTHON:-python3}"
"$python" -c 'import lorafit, torch' 2>/dev/null || skip "$python has no lorafit; set PYTHON"
work=$(mktemp -d)
chmod 755 "$work"
mkdir -p "$work/out" "$work/state" "$work/spool" "$work/munge"
daemons=()

clean_up() {
    scancel --user="$(id -un)" 2>/dev/null
    for daemon in "${daemons[@]}"; do
        kill "$daemon" 2>/dev/null
    done
    wait 2>/dev/null
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean_up EXIT

# A key, an authentication service and a cluster of our own.
dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 2>/dev/null
chmod 700 "$work/munge"
chmod 600 "$work/munge/key"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge.socket" --pid-file="$work/munged.pid" \
    --log-file="$work/munge/munged.log" --seed-file="$work/munge/seed" >"$work/munged.log" 2>&1 &
daemons+=($!)
host=$(hostname -s)
free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
cat >"$work/slurm.conf" <<CONF
ClusterName=lorafit-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerType=sched/builtin
ReturnToService=2
KillWait=5
MinJobAge=600
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=60 State=UP OverSubscribe=FORCE:4
CONF
export SLURM_CONF=$work/slurm.conf
slurmctld -D -f "$SLURM_CONF" >"$work/slurmctld.log" 2>&1 &
daemons+=($!)
slurmd -D -f "$SLURM_CONF" >"$work/slurmd.log" 2>&1 &
daemons+=($!)

# within SECONDS COMMAND...: until the command succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.5
    done
}
node_is_up() { sinfo -h -o %T | grep -qE 'idle|mixed|allocated'; }
within 30 node_is_up || { KEEP=1 && skip "Slurm's daemons do not come up here; see $work/slurmctld.log and slurmd.log"; }
echo "Slurm $(sinfo --version | cut -d' ' -f2) is up"

# The quickstart with a few rows only, so that a run takes a minute at most.
export LORAFIT="$python -m lorafit" LORAFIT_SLURM=$PWD/scripts/slurm PYTHONPATH=$PWD OMP_NUM_THREADS=1
mkdir "$work/data"
for rows in train:320 valid:20 test:6; do
    head -n "${rows#*:}" "lorafit/assets/quickstart/data/${rows%:*}.txt" >"$work/data/${rows%:*}.txt"
done
options=(--set "data.dir=$work/data" --set eval.score_base=false --set decode.num_beams=2 --set decode.max_new_tokens=20)
submit() { sbatch --parsable --chdir="$work" "$@"; }
log_has() { grep -qF "$2" "$work/out/$1"; }
ended() { ! squeue -h -j "$1" | grep -q .; }
finished() { [ -f "$work/$1/scores.json" ] || fail "$1 is not finished"; }
every_step_once() {
    "$python" - "$work/$1/metrics.jsonl" <<'PYTHON' || fail "$1: steps are missing or doubled"
import json
import sys

steps = [e["step"] for e in map(json.loads, open(sys.argv[1])) if e["event"] == "step"]
sys.exit(steps != list(range(10, steps[-1] + 1, 10)))
PYTHON
}

job=$(submit --output="$work/out/one.log" "$LORAFIT_SLURM/train.sbatch" quickstart --output "$work/one" \
    "${options[@]}" --set train.epochs=12) || fail "sbatch"
within 120 log_has one.log 'step 60/' || fail "the run does not start"
scancel --signal=USR1 "$job"
within 60 log_has one.log 'back into the queue' || fail "no requeue after SIGUSR1"
log_has one.log '(SIGUSR1); run the same command again' || fail "the run does not say why it stopped"
requeued() { scontrol update "jobid=$job" starttime=now; } # else Slurm lets a requeued job wait two minutes
within 30 requeued
within 300 log_has one.log 'resumed from' || fail "the requeued job does not go on"
within 300 ended "$job" || fail "the requeued job does not end"
finished one
every_step_once one
echo "preempted with SIGUSR1, requeued, resumed and finished"

job=$(RECIPES=quickstart SEEDS="1 2" submit --array=0-1 --output="$work/out/sweep-%a.log" \
    "$LORAFIT_SLURM/sweep.sbatch" "${options[@]}" --set train.epochs=1) || fail "sbatch of an array"
within 300 ended "$job" || fail "the array does not end"
for seed in 1 2; do
    finished "runs/quickstart/seed-$seed"
done
echo "an array of two seeds finished"

job=$(submit --ntasks=2 --overcommit --output="$work/out/two.log" "$LORAFIT_SLURM/train.sbatch" quickstart \
    --output "$work/two" "${options[@]}" --set train.epochs=1) || fail "sbatch of two processes"
within 300 ended "$job" || fail "the run on two processes does not end"
finished two
every_step_once two
"$python" - "$work"/two/checkpoints/step-*/state.pt <<'PYTHON' || fail "it was not two processes"
import sys

import torch

sys.exit(len(torch.load(sys.argv[1], weights_only=True)["rng"]) != 2)
PYTHON
echo "a run on two processes finished"
