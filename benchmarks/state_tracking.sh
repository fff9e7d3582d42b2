#!/usr/bin/env bash
# Which mixers track state, which recall, and what an HRM block does in the place of an sLSTM block.
#
#     [TASKS="parity mqar slot"] benchmarks/state_tracking.sh [--device cuda] [--out runs] [--seeds "0 1 2"]
#
# Every run is `hrmsearch run` on a shipped spec with the overrides below; runs of one device go side by side.
# `hrmsearch results RUNS -o results/state_tracking/README.md --manifests` makes the tables.
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

# parity of 2 to 39 bits, scored on 39 to 255 (the setting of the xLSTM experiments, fewer steps)
parity=("task=parity/xlstm" "task.also={longest: [255, 255]}" "task.test_rows=2048"
    "train={optimizer: {kind: adamw, lr: 4.0e-3, weight_decay: 0.01}, schedule: {kind: constant, warmup: 200}, batch: 256, epochs: ${EPOCHS:-12}}")
# associative recall of 4 pairs among 64 tokens (Zoology, figure 2)
mqar=("task=mqar/64x4"
    "train={optimizer: {kind: adamw, lr: 3.0e-3, weight_decay: 0.1}, schedule: {kind: cosine, warmup: 400}, batch: 512, epochs: ${RECALL_EPOCHS:-5}}")

# One run, in the background: its spec, its name and its seed; what follows are its overrides.
train() {
    local spec=$1 name=$2 seed=$3 sets=()
    shift 3
    for override in "name=$name" "seeds=[$seed]" "$@"; do sets+=(--set "$override"); done
    hrmsearch run "$spec" "${sets[@]}" --device "$device" --out "$out" >"$out/log/$name-$seed.txt" 2>&1 &
}

# A stack of two blocks, the mixer its only difference.
mix() {
    local task=$1 mixer=$2 seed=$3
    shift 3
    train slstm "$task-$mixer" "$seed" "model.core.blocks[0].repeat=2" "model.core.blocks[0].mixer=${mixers[$mixer]}" "$@"
}

# A stack of mLSTM, a slot, mLSTM. The HRM's levels are pre-norm, so that their energy is free to grow; the sLSTM block's
# feed-forward layer is as wide as makes its parameters as many. Strings begin anew in every row: no state is carried on.
fill() {
    local slot=$1 seed=$2 hrm=() slstm=()
    for level in L H; do hrm+=("model.core.blocks[1].levels.$level.block.norm={kind: layer, place: pre}"); done
    slstm=("model.core.blocks[1]={kind: residual, positions: [1], mixer: ${mixers[slstm]}, ffn: {kind: geglu, width: 341}}")
    declare -n filled=$slot
    train xlstm_hrm "slot-$slot" "$seed" "model.core.blocks[0].mixer=${mixers[mlstm]}" "${filled[@]}" "${parity[@]}"
}

mkdir -p "$out/log"
for seed in $seeds; do
    for task in ${TASKS:-parity mqar slot}; do
        case "$task" in
            parity) for mixer in "${!mixers[@]}"; do mix parity "$mixer" "$seed" "${parity[@]}"; done ;;
            mqar) for mixer in slstm hl_kernel attention; do mix mqar "$mixer" "$seed" "${mqar[@]}"; done ;;
            slot) for slot in hrm slstm; do fill "$slot" "$seed"; done ;;
            *) echo "unknown task $task" >&2; exit 2 ;;
        esac
    done
done
wait
tail -n 4 "$out"/log/*.txt
