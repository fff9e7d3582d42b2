"""Whether claims can be believed: thousands of simulated studies, judged by the function that judges real ones.

    python benchmarks/simulated_studies.py [--studies 2000] [-o results/statistics/README.md]

An arm's value in a seed is what the seed does to every arm, plus the arm's own noise, plus its effect; effects count in
standard deviations of the paired difference. Exits with 1 where arms without an effect are called different in more
than 6.5 % of the studies, or an effect of 2 is found by 5 seeds and one comparison in fewer than 85 %.
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrmsearch.files import write
from hrmsearch.report.table import Table
from hrmsearch.study.power import chance
from hrmsearch.study.statistics import Comparison, Difference, compare_arms

ALPHA = 0.05
MOST_FALSE = 0.065
LEAST_FOUND = 0.85
#: standard deviation of what a seed does to all arms alike, where an arm's own noise has 1
SEEDS_APART = 3.0

Noise = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
NOISE: Mapping[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy": lambda rng, shape: rng.standard_t(3, size=shape) / math.sqrt(3),
    "skewed": lambda rng, shape: rng.exponential(size=shape) - 1,
    "stepped": lambda rng, shape: np.round(rng.normal(size=shape)),
    "lopsided": lambda rng, shape: (rng.exponential(size=shape) - 1) * (np.arange(shape[0]) > 0)[:, None],
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind of study; effect: of every arm but the control, in standard deviations of its paired difference."""

    comparisons: int
    seeds: int
    effect: float = 0.0
    noise: str = "normal"

    @property
    def theory(self) -> float | None:
        """The share of studies with a claim as the distribution of t has it; for one arm with normal noise."""
        if self.comparisons > 1 or self.noise != "normal":
            return None
        return chance(self.effect, self.seeds, alpha=ALPHA) if self.effect else ALPHA


PROMISED_FALSE = tuple(Setting(comparisons, 5) for comparisons in (1, 2, 4))
PROMISED_FOUND = Setting(1, 5, 2.0)
SETTINGS = (
    *PROMISED_FALSE,
    *(Setting(comparisons, 8) for comparisons in (1, 4)),
    *(Setting(4, 5, noise=noise) for noise in NOISE if noise != "normal"),
    Setting(4, 8, noise="lopsided"),
    PROMISED_FOUND,
    *(Setting(comparisons, 5, 2.0) for comparisons in (2, 4)),
    *(Setting(1, seeds, 1.0) for seeds in (3, 5, 8, 10)),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares of studies that call any arm different: by verdict, by p before Holm's rule, and by permutation after it.

    permutation: None below 8 seeds.
    """

    claims: float
    unadjusted: float
    permutation: float | None

    def keeps(self, setting: Setting) -> bool:
        """Whether a promise that is made for the setting is kept."""
        if setting in PROMISED_FALSE:
            return self.claims <= MOST_FALSE
        return setting != PROMISED_FOUND or self.claims >= LEAST_FOUND


def simulate(setting: Setting, studies: int) -> Outcome:
    """Judge so many studies of a setting; the same numbers come every time."""
    rng = np.random.default_rng([setting.comparisons, setting.seeds, round(10 * setting.effect), len(setting.noise)])
    judged = [_study(setting, rng).differences for _ in range(studies)]

    def share(claims: Callable[[Difference], bool]) -> float:
        return sum(any(map(claims, differences)) for differences in judged) / studies

    return Outcome(
        claims=share(lambda one: one.verdict in ("better", "worse")),
        unadjusted=share(lambda one: one.p is not None and one.p <= ALPHA),
        permutation=None if judged[0][0].permutation_p is None else share(_by_permutation),
    )


def _study(setting: Setting, rng: np.random.Generator) -> Comparison:
    arms = (setting.comparisons + 1, setting.seeds)
    values = rng.normal(scale=SEEDS_APART, size=setting.seeds) + NOISE[setting.noise](rng, arms)
    # the difference of two arms has twice the variance of one
    values[1:] += setting.effect * math.sqrt(2)
    rows = {f"arm {index}": row.tolist() for index, row in enumerate(values)}
    return compare_arms("arm 0", rows, better="higher", alpha=ALPHA)


def _by_permutation(one: Difference) -> bool:
    return one.permutation_p_adjusted is not None and one.permutation_p_adjusted <= ALPHA


def table(outcomes: Mapping[Setting, Outcome]) -> Table:
    """Return a row per setting, those without an effect first."""
    titles = ["effect", "noise", "comparisons", "seeds", "any claim", "in theory", "unadjusted", "by permutation"]
    rows = [_row(*item) for item in outcomes.items()]
    return Table(titles, "rlrrrrrr", [[row for row in rows if row[0] == "0"], [row for row in rows if row[0] != "0"]])


def _row(setting: Setting, outcome: Outcome) -> Sequence[str]:
    shares = (outcome.claims, setting.theory, outcome.unadjusted, outcome.permutation)
    shown = ("" if share is None else f"{share:.1%}" for share in shares)
    return (f"{setting.effect:g}", setting.noise, str(setting.comparisons), str(setting.seeds), *shown)


def page(outcomes: Mapping[Setting, Outcome], studies: int) -> str:
    """Return the results as Markdown."""
    return f"""\
# Whether claims can be believed

{studies:,} simulated studies per row, judged by the function that judges real ones, at an error rate of 5 % for all
arms of a study together. `effect` is what every arm but the control has, in standard deviations of the paired
difference. `noise`: `heavy` is Student's t with 3 degrees of freedom; `skewed` is exponential; `stepped` is normal,
rounded to whole deviations; `lopsided` is exponential in every arm but the control, which has none.

*any claim* is the share of studies that call at least one arm different: false claims where the effect is 0. *in
theory* is what the distribution of t says, for one arm with normal noise. *unadjusted* is the same without Holm's rule,
*by permutation* by the sign-flip test in place of the t test, with it.

What it shows: false claims are as rare as promised where paired differences are symmetric, whatever their tails and
steps. They are not where differences are lopsided, which 5 seeds cannot tell; the sign-flip test needs symmetry too.

    python benchmarks/simulated_studies.py -o results/statistics/README.md      # wrote this file

{table(outcomes).markdown()}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write Markdown here")
    chosen = parser.parse_args()
    outcomes = {setting: simulate(setting, chosen.studies) for setting in SETTINGS}
    print(table(outcomes).plain())
    if chosen.output is not None:
        write(chosen.output, page(outcomes, chosen.studies), parents=True)
    sys.exit(not all(outcome.keeps(setting) for setting, outcome in outcomes.items()))


if __name__ == "__main__":
    main()
