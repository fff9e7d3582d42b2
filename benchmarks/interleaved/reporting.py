"""Tables of what was measured: on a terminal, and in a page under results/ between marks of the script's own."""

import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hrmsearch.files import write
from interleaved.measuring import Measured, Times

RESULTS = Path(__file__).parents[2] / "results" / "kernels"
_COLUMNS = ("", "forward min", "median", "ratio", "of copy", "with gradient min", "median", "ratio", "of copy", "error")


@dataclass
class Report:
    """Tables as they are measured, printed at once. right: whether every implementation was, so far."""

    right: bool = True
    pages: list[str] = field(default_factory=list[str])

    def add(self, measured: Measured) -> None:
        """Print the table of one problem; what is off by too much has no times in it."""
        rows = [_row(name, times, measured) for name, times in measured.times.items()]
        head = f"{measured.problem.title}; copy {measured.bandwidth / 1e6:.1f} GB/s"
        self.right &= all(times.error <= measured.problem.agree for times in measured.times.values())
        self.pages.append(f"{head}\n\n{_markdown(rows)}")
        widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
        print(f"\n{head}")
        for row in (_COLUMNS, *rows):
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            print("  ".join(["", row[0].ljust(widths[0]), *cells]), flush=True)

    def save(self, device: str, section: str) -> None:
        """Replace this script's part of the page of a device."""
        path = RESULTS / f"{device}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
        page = path.read_text(encoding="utf-8") if path.exists() else f"# Kernels on {device}\n"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        body = "\n\n".join([f"{about(device)}; milliseconds.", *self.pages])
        write(path, f"{before.rstrip()}\n\n{begin}\n{body}\n\n{end}{after}")
        print(f"\nwrote {len(self.pages)} tables to {path.name}")


def _row(name: str, times: Times, measured: Measured) -> Sequence[str]:
    if not times.error <= measured.problem.agree:
        return [name, *["-"] * (len(_COLUMNS) - 2), f"{times.error:.0e}: no time"]
    plain, moved = next(iter(measured.times.values())), measured.owner(name).moved or (0, 0)
    cells: list[str] = []
    for mine, theirs, least in (
        (times.forward, plain.forward, moved[0]),
        (times.training, plain.training, moved[1]),
    ):
        if not mine:
            cells += ["-"] * 4
            continue
        share = f"{least / min(mine) / measured.bandwidth:.0%}" if least else ""
        cells += [
            f"{min(mine):.3f}",
            f"{statistics.median(mine):.3f}",
            f"{min(theirs) / min(mine):.1f}" if theirs else "",
            share,
        ]
    return [name, *cells, f"{times.error:.0e}"]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [_COLUMNS, [":---", *["---:"] * (len(_COLUMNS) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def about(device: str) -> str:
    """Return what times were taken on."""
    how = "one thread" if device == "cpu" else "as CUDA graphs"
    return f"torch {torch.__version__}, float32 if nothing else is said, {_processor(device)}, {how}"


def _processor(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
