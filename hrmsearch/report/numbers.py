"""Numbers as people read them: counts, bytes, durations, and a mean with its spread."""

import math

from hrmsearch.tasks.judging import is_share

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """Return an exact count: `152,064`."""
    return f"{value:,.0f}"


def scaled(value: float, unit: str = "") -> str:
    """Return a large count in four digits with a letter before its unit: `9.412 MFLOP`."""
    for scale, letter in _SCALES:
        if value >= scale:
            return f"{value / scale:.4g} {letter}{unit}"
    return f"{value:.0f} {unit}".rstrip()


def size(value: float) -> str:
    """Return bytes in binary units: `1.50 MiB`."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if value >= 1024**power:
            return f"{value / 1024**power:.2f} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: `1 h 04 min`, `3 min 20 s`, `4.2 s`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def metric(value: float, digits: int = 3) -> str:
    """Return a loss, perplexity or rate with so many decimals, or in four significant digits where it is large."""
    return f"{value:.{digits}f}" if not math.isfinite(value) or abs(value) < 1000 else f"{value:.4g}"


def measured(name: str, value: float) -> str:
    """Return a value of a named metric: shares in percent, `97.50 %`, others as they are."""
    return f"{100 * value:.2f} %" if is_share(name) else metric(value)


def spread(mean: float, sd: float | None, digits: int = 3) -> str:
    """Return `mean ± standard deviation`, or the mean alone where one value has no deviation."""
    return metric(mean, digits) if sd is None else f"{metric(mean, digits)} ± {metric(sd, digits)}"


def measured_spread(name: str, mean: float, sd: float | None) -> str:
    """Return the spread of a named metric: shares in percent, `97.50 ± 0.41 %`."""
    if not is_share(name):
        return spread(mean, sd)
    return f"{100 * mean:.2f} %" if sd is None else f"{100 * mean:.2f} ± {100 * sd:.2f} %"
