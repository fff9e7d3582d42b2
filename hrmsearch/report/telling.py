"""Pictures of what models told step by step: curves, and the carry over ticks."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hrmsearch.ir import TELEMETRY
from hrmsearch.report.document import anchor
from hrmsearch.report.evidence import Evidence
from hrmsearch.report.figures import Picture
from hrmsearch.report.figures.bands import Series, band_chart
from hrmsearch.report.figures.raster import raster
from hrmsearch.report.runs import Compared
from hrmsearch.train.readings import STEP

_TICK = re.compile(r"(?P<level>.*norm_[A-Za-z]\w*)_(?P<tick>\d+)")


def of_steps(compared: Compared) -> list[Picture]:
    """Return pictures of the telemetry that training logged; none where no spec asked for any."""
    prefix = f"{anchor(compared.corpus)}-step"
    return [*_rasters(prefix, compared), *_curves(prefix, compared)]


def _curves(prefix: str, compared: Compared) -> Iterator[Picture]:
    """Yield each reading over the steps of training."""
    for name in _names(compared):
        reading = name.removeprefix(TELEMETRY)
        if _TICK.fullmatch(reading):
            continue
        series = [
            Series(spec.label, number, {one.seed: found for one in spec.seeds if (found := _by_step(one, name))})
            for number, spec in enumerate(compared.specs)
        ]
        series = [one for one in series if one.seeds]
        title = f"{reading} while training, rows of each step"
        yield band_chart(f"{prefix}-{anchor(reading)}", title, series, x="step", y=f"{reading}, last pass")


def _rasters(prefix: str, compared: Compared) -> Iterator[Picture]:
    """Yield the norm of each level over ticks and steps, for the first seed of each spec."""
    for spec in compared.specs:
        one = spec.seeds[0]
        ticks: dict[str, dict[int, str]] = {}
        for name in _names_of(one):
            if found := _TICK.fullmatch(name.removeprefix(TELEMETRY)):
                ticks.setdefault(found["level"], {})[int(found["tick"])] = name
        for level, by_tick in ticks.items():
            names = [by_tick[tick] for tick in sorted(by_tick)]
            values = [_by_step(one, name) for name in names]
            lines = {int(step): [each[step] for each in values] for step in values[0]}
            file, title = f"{prefix}-{anchor(spec.label)}-{anchor(level)}", f"{level} over ticks, {spec.label}"
            value = f"the norm of the level, a mean over rows; seed {one.seed}, last pass"
            yield raster(file, title, lines, x="tick", y="step", value=value)


def _names(compared: Compared) -> list[str]:
    """Return every reading that any seed logged, in the order in which they were met."""
    return list(dict.fromkeys(name for spec in compared.specs for one in spec.seeds for name in _names_of(one)))


def _names_of(one: Evidence) -> list[str]:
    return list(dict.fromkeys(name for line in _lines(one) for name in line if name.startswith(TELEMETRY)))


def _by_step(one: Evidence, name: str) -> dict[float, float]:
    """Return a reading of the last pass that a step took, by step."""
    return {line["step"]: line[name] for line in _lines(one) if line.get(name) is not None}


def _lines(one: Evidence) -> list[Mapping[str, Any]]:
    return [line for line in one.lines if line["split"] == STEP]
