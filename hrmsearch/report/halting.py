"""After how many passes rows halted, where they halt one by one: a histogram as a table and as a picture."""

from collections.abc import Iterator, Sequence

from hrmsearch.report.figures import Picture
from hrmsearch.report.figures.histogram import histogram
from hrmsearch.report.table import Table
from hrmsearch.train import Summary
from hrmsearch.train.scoring import HALTED


def halting_table(summaries: Sequence[Summary]) -> Table | None:
    """Return the shares of rows by the passes that they took; None where rows do not halt one by one.

    In training those of all steps of all seeds, on splits that are scored as rows halt the mean over seeds.
    """
    found = [(summary.name, split, shares) for summary in summaries for split, shares in _shares(summary)]
    if not found:
        return None
    most = max(len(shares) for _, _, shares in found)
    rows = [(name, split, *_cells(shares), *[""] * (most - len(shares))) for name, split, shares in found]
    columns = ["spec", "split", "mean", *map(str, range(1, most + 1))]
    title = f"passes that rows took on {summaries[0].identity.corpus}, % of rows"
    return Table(columns, "ll" + "r" * (len(columns) - 2), [rows], title)


def halting_picture(name: str, summaries: Sequence[Summary]) -> Iterator[Picture]:
    """Yield the bars of training in a file of a name, if rows halted one by one."""
    found = [
        (summary.name, number, dict(enumerate(summary.halted, 1)))
        for number, summary in enumerate(summaries)
        if sum(summary.halted)
    ]
    if found:
        caption = "Bars are shares of the rows that halted in training, of all steps and seeds."
        title, y = "passes that rows took, train", "share of rows, %"
        yield histogram(name, title, found, x="passes", y=y, caption=caption)


def _shares(summary: Summary) -> Iterator[tuple[str, Sequence[float]]]:
    """Yield the share of rows by pass, from 1, of each split that tells."""
    if total := sum(summary.halted):
        yield "train", [count / total for count in summary.halted]
    for split, passes in summary.telemetry.items():
        if passes and HALTED in passes[0]:
            yield split, [told[HALTED].mean for told in passes]


def _cells(shares: Sequence[float]) -> Iterator[str]:
    yield f"{sum(number * share for number, share in enumerate(shares, 1)):.2f}"
    yield from (f"{100 * share:.1f}" for share in shares)
