"""Arms of a study at one epoch, finished or not: valid after each number of passes, and the differences over seeds.

    python benchmarks/valid_at.py runs/sudoku9 --epoch 380 [--metric exact] [--passes 1 2 4 8 16] [--keep FILE.csv]
    python benchmarks/valid_at.py FILE.csv --epoch 380

For a study that was broken off, where its finalists cannot be compared on test. An epoch that was chosen after looking
describes; a verdict on it is of valid, at that epoch. `--keep` writes its scores, a row per arm, seed and pass.
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hrmsearch.study.statistics import compare_arms
from hrmsearch.study.verdicts import Measure, markdown
from hrmsearch.train.metrics import read


class Row(NamedTuple):
    """A score on valid."""

    arm: str
    seed: int
    epoch: int
    step: int
    passes: int
    accuracy: float
    exact: float


def rows_of(source: Path) -> Iterator[Row]:
    """Yield the scores of a study's finalists, from its folder or from what `--keep` wrote."""
    if source.is_file():
        with open(source, newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                seed, epoch, step, passes = (int(row[name]) for name in ("seed", "epoch", "step", "passes"))
                yield Row(row["arm"], seed, epoch, step, passes, float(row["accuracy"]), float(row["exact"]))
        return
    for file in sorted(source.glob("finalists/*/seed-*/metrics.jsonl")):
        arm, seed = file.parts[-3], int(file.parts[-2].removeprefix("seed-"))
        for line in read(file):
            if line["split"] == "valid":
                yield Row(arm, seed, line["epoch"], line["step"], line["pass"], line["accuracy"], line["exact"])


def keep(rows: Sequence[Row], path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows((*row[:5], *(round(value, 6) for value in row[5:])) for row in rows)


def table(values: Mapping[str, Mapping[int, Sequence[float]]], passes: Sequence[int]) -> Iterator[str]:
    """Yield lines of Markdown: mean and deviation in percent, by arm and passes."""
    yield f"| arm | seeds | {' | '.join(f'pass {n}' for n in passes)} |"
    yield f"| :--- | ---: | {' | '.join('---:' for _ in passes)} |"
    for arm, by_pass in values.items():
        cells = [_spread(by_pass[n]) for n in passes]
        yield f"| {arm} | {len(by_pass[passes[-1]])} | {' | '.join(cells)} |"


def _spread(values: Sequence[float]) -> str:
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f} %"


def grouped(rows: Iterable[Row], metric: str, passes: Sequence[int]) -> dict[str, dict[int, list[float]]]:
    """Return values by arm and passes, in the order of seeds."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in sorted(rows, key=lambda row: row.seed):
        if row.passes in passes:
            found.setdefault(row.arm, {}).setdefault(row.passes, []).append(getattr(row, metric))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--metric", choices=("exact", "accuracy"), default="exact")
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--control", default="flat")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    rows = list(rows_of(args.study))
    at = [row for row in rows if row.epoch == args.epoch]
    if args.keep:
        keep(at, args.keep)
    values = grouped(at, args.metric, args.passes)
    if args.control not in values:
        epochs = ", ".join(map(str, sorted({row.epoch for row in rows if row.arm == args.control})))
        sys.exit(f"{args.study}: no run of {args.control} was validated after epoch {args.epoch}, but after {epochs}")
    print(f"valid {args.metric} after epoch {args.epoch}, step {at[0].step}\n")
    print("\n".join(table(values, args.passes)), end="\n\n")
    last = {arm: by_pass[args.passes[-1]] for arm, by_pass in values.items()}
    compared = compare_arms(args.control, last, better="higher")
    print(markdown(compared, Measure(f"valid {args.metric}", share=True)), end="")


if __name__ == "__main__":
    main()
