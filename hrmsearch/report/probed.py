"""What a carry knows of its input, as a table."""

from collections.abc import Sequence

from hrmsearch.report.table import Table
from hrmsearch.train import Reconstruction


def probe_table(found: Sequence[Reconstruction], split: str) -> Table:
    """Return how well tokens are read back, a row per state and pass."""
    rows = [
        (one.state, str(one.number), f"{one.accuracy:.1%}", f"{one.guess:.1%}", f"{one.r2:.3f}", str(one.tokens))
        for one in found
    ]
    title = f"tokens read back from the carry by a linear probe, {split}"
    return Table(("state", "pass", "accuracy", "most frequent", "R²", "tokens"), "lrrrrr", [rows], title)
