#!/usr/bin/env bash
# Which mixers track state, and which recall: one stack of two blocks, the mixer its only difference.
#
#     benchmarks/state_tracking.sh [--device cuda] [--out runs] [--seeds "0 1 2"]
#
# Every run is `hrmsearch run` on specs/slstm.yaml with the overrides below; runs of one device go side by side.
# `hrmsearch results runs/parity-* --out results/state_tracking` makes the tables.
set -euo pipefail

device=cuda out=runs seeds="0 1 2"
while [ $# -gt 0 ]; do
    case "$1" in
        --device) device=$2 ;;
        --out) out=$2 ;;
        --seeds) seeds=$2 ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done

declare -A mixers=(
    [slstm]='{kind: slstm, heads: 4, conv: none}'
    [mlstm]='{kind: mlstm, heads: 4}'
    [hl_kernel]='{kind: hl_kernel, period: 4}'
    [hl_kernel_gated]='{kind: hl_kernel, period: 4, gated: true}'
    [s4d]='{kind: s4d}'
    [attention]='{kind: attention, heads: 4, position: rope}'
)

# one run per arm and seed: what follows the arm and the seed are its overrides
train() {
    local name=$1 arm=$2 seed=$3
    shift 3
    local sets=(--set "name=$name-$arm" --set "seeds=[$seed]" --set "model.core.blocks[0].repeat=2"
        --set "model.core.blocks[0].mixer=${mixers[$arm]}")
    for override in "$@"; do sets+=(--set "$override"); done
    mkdir -p "$out/log"
    hrmsearch run slstm "${sets[@]}" --device "$device" --out "$out" >"$out/log/$name-$arm-$seed.txt" 2>&1 &
}

# parity of 2 to 39 bits, scored on 39 to 255 (the setting of the xLSTM experiments, fewer steps)
parity=("task=parity/xlstm" "task.also={longest: [255, 255]}" "task.test_rows=2048"
    "train={optimizer: {kind: adamw, lr: 4.0e-3, weight_decay: 0.01}, schedule: {kind: constant, warmup: 200}, batch: 256, epochs: ${EPOCHS:-12}}")
# associative recall of 4 pairs among 64 tokens (Zoology, figure 2)
mqar=("task=mqar/64x4"
    "train={optimizer: {kind: adamw, lr: 3.0e-3, weight_decay: 0.1}, schedule: {kind: cosine, warmup: 400}, batch: 512, epochs: ${RECALL_EPOCHS:-5}}")

for seed in $seeds; do
    for arm in ${ARMS:-slstm mlstm hl_kernel hl_kernel_gated s4d attention}; do train parity "$arm" "$seed" "${parity[@]}"; done
    for arm in ${RECALL_ARMS:-slstm hl_kernel attention}; do train mqar "$arm" "$seed" "${mqar[@]}"; done
done
wait
tail -n 4 "$out"/log/*.txt
