"""Published numbers beside reproduced ones: fills the tables of a page from copies of manifests.

A page marks where a table goes, by the folder of its manifests relative to the page; `published.yaml` lies there.

    <!-- published: seed_experiment_1 -->
    <!-- end -->

    python benchmarks/published_tables.py results/README.md --write
"""

import argparse
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hrmsearch.report.numbers import count, metric, spread
from hrmsearch.report.table import Table
from hrmsearch.spec.source import read
from hrmsearch.study.comparing import RunComparison, compare_runs
from hrmsearch.study.runs import RunArm, arms_in
from hrmsearch.study.statistics import Difference
from hrmsearch.study.student import critical
from hrmsearch.study.verdicts import probability

MARK = re.compile(r"(<!-- published: (?P<folder>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
TITLES = ("arm", "parameters", "published", "reproduced", "seeds", "published lies", "diagnostics", "against {control}")


def main() -> None:
    """Write the tables of pages, or say which pages do not have them as they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="Write the pages.")
    asked = parser.parse_args()
    stale = [page for page in asked.pages if filled(page) != page.read_text(encoding="utf-8")]
    for page in stale if asked.write else ():
        page.write_text(filled(page), encoding="utf-8")
    if stale and not asked.write:
        raise SystemExit(f"not as the manifests say: {', '.join(map(str, stale))}; write them with --write")


def filled(page: Path) -> str:
    """Return a page with its tables."""
    return MARK.sub(
        lambda mark: f"{mark[1]}\n{tables(page.parent / mark['folder'], mark['folder'])}\n{mark[3]}",
        page.read_text(encoding="utf-8"),
    )


def tables(folder: Path, link: str) -> str:
    """Return the table of a folder of manifests, and below it what needs no neural model."""
    told = cast("Mapping[str, Any]", read(folder / "published.yaml").tree)
    by_name = {arm.name: arm for arm in arms_in([folder / name for name in told["arms"]])}
    found = compare_runs(list(by_name.values()), metric=told["metric"], control=told["control"])
    rows = [row(found, by_name[name], link, published) for name, published in told["arms"].items()]
    floors = [[name, "", "", metric(value), "", "", "", ""] for name, value in found.floors.items()]
    titles = [title.format(control=told["control"]) for title in TITLES]
    corpus = found.arms[0].first["data"]["corpus"]
    return Table(titles, "lrrrrlll", [rows, floors], f"{found.metric} on {corpus}").markdown()


def row(found: RunComparison, arm: RunArm, link: str, published: Mapping[str, Any]) -> list[str]:
    """Return the row of an arm."""
    values, number = list(found.values[arm.name]), published["published"]
    mean = math.fsum(values) / len(values)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    verdict = next((one for one in found.comparison.differences if one.arm == arm.name), None)
    return [
        f"[{arm.name}]({link}/{arm.name})",
        count(arm.first["params"]),
        "" if number is None else f"{number:.2f}",
        spread(mean, sd),
        str(len(values)),
        "" if number is None else place(number, mean, sd, len(values)),
        diagnostics(arm),
        "control" if verdict is None else claim(verdict),
    ]


def diagnostics(arm: RunArm) -> str:
    """Return the codes of what the analyses found, those marked that the spec accepts."""
    found = {one["code"]: "" if one["accepted"] is None else " accepted" for one in arm.first["diagnostics"]}
    return ", ".join(f"{code}{accepted}" for code, accepted in sorted(found.items())) or "none"


def claim(one: Difference) -> str:
    """Return what may be said of an arm against the control, with its evidence."""
    if one.verdict is None or one.mean is None or one.p_adjusted is None:
        return f"none: {one.reason}"
    return f"{one.verdict}: {one.mean:+.2f}, p {probability(one.p_adjusted)}"


def place(number: float, mean: float, sd: float, seeds: int) -> str:
    """Say whether one more seed would lie as far from the mean, with 95 % confidence."""
    reach = critical(seeds - 1, 0.05) * sd * math.sqrt(1 + 1 / seeds)
    return f"within ± {reach:.2f}" if abs(number - mean) <= reach else f"outside ± {reach:.2f}"


if __name__ == "__main__":
    main()
