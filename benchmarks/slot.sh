#!/usr/bin/env bash
# One slot of a stack, an HRM or an sLSTM block in it, on parity: who tracks the state, and what the HRM spends on it.
#
#     benchmarks/slot.sh [--device cuda] [--out runs] [--seeds "0 1 2"]
#
# Every run is `hrmsearch run` on specs/xlstm_hrm.yaml, which says what may stand in the slot; runs go side by side.
# `hrmsearch results runs -o results/slot/README.md --manifests` makes the tables.
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

# What fills the slot, with about as many parameters: the width of the feed-forward layer makes up the difference.
# Pre-norm levels, whose energy may grow; post-norm ones keep it near the width.
hrm=(--set 'model.core.blocks[1].levels.L.block.norm={kind: layer, place: pre}'
    --set 'model.core.blocks[1].levels.H.block.norm={kind: layer, place: pre}')
slstm=(--set 'model.core.blocks[1]={kind: residual, positions: [1], mixer: {kind: slstm, heads: 4, conv: none}, ffn: {kind: geglu, width: 341}}')

# Strings begin anew in every row, so no block carries its state on. Parity is as in benchmarks/state_tracking.sh.
common=(--set 'model.core.blocks[0].mixer={kind: mlstm, heads: 4}' --set task=parity/xlstm --set task.test_rows=2048
    --set 'task.also={longest: [255, 255]}' --device "$device" --out "$out"
    --set "train={optimizer: {kind: adamw, lr: 4.0e-3, weight_decay: 0.01}, schedule: {kind: constant, warmup: 200}, batch: 256, epochs: ${EPOCHS:-8}}")

mkdir -p "$out/log"
for seed in $seeds; do
    for slot in hrm slstm; do
        declare -n fills=$slot
        hrmsearch run xlstm_hrm --set "name=slot-$slot" --set "seeds=[$seed]" "${common[@]}" "${fills[@]}" \
            >"$out/log/$slot-$seed.txt" 2>&1 &
    done
done
wait
tail -n 4 "$out"/log/*.txt
