#!/usr/bin/env bash
# Evaluate under Slurm: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (cores per GPU, 5) and SRUN_ARGS come from the environment.
# One task per machine starts torchrun there, which starts one process per GPU.
set -euo pipefail
if [ $# -lt 4 ]; then echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]" >&2; exit 2; fi
partition=$1; job=$2; config=$3; checkpoint=$4; shift 4
gpus=${GPUS:-8}; per_node=${GPUS_PER_NODE:-8}
if [ "$gpus" -lt "$per_node" ]; then per_node=$gpus; fi
nodes=$(( (gpus + per_node - 1) / per_node ))
# The port follows from the job so that two jobs on one machine do not meet.
# shellcheck disable=SC2016,SC2086
exec srun -p "$partition" --job-name="$job" --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 \
    --gres="gpu:$per_node" --cpus-per-task=$(( ${CPUS_PER_TASK:-5} * per_node )) --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} bash -c '
        exec python -m torch.distributed.run --nnodes="$SLURM_NNODES" --node_rank="$SLURM_NODEID" \
            --nproc_per_node="$1" --master_port=$(( 20000 + SLURM_JOB_ID % 20000 )) \
            --master_addr="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)" \
            "$2" "${@:3}" --launcher pytorch' \
    _ "$per_node" "$(dirname "$0")/test.py" "$config" "$checkpoint" "$@"
