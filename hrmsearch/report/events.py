"""Logged values as TensorBoard event files, a folder per spec and seed."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from hrmsearch.errors import HrmsearchError
from hrmsearch.report.evidence import Evidence
from hrmsearch.report.runs import Compared

#: TensorBoard reads files by this part of their name
_NAME: Final = "events.out.tfevents.0"
#: what an event file begins with
VERSION: Final = "brain.Event:2"
#: what a line says of itself rather than of the model
_PLACE: Final = ("epoch", "step", "split", "pass", "seconds")


def event_files(compared: Sequence[Compared]) -> dict[Path, bytes]:
    """Return an event file per seed by its path; times are seconds of training since its start.

    A tag is `valid/ppl`, or `valid/ppl_pass_2` where there are several passes; infinite values are left out. Raises
    HrmsearchError without the library tensorboard.
    """
    pages = {one.corpus: Path(one.corpus.replace("/", "-")) if len(compared) > 1 else Path() for one in compared}
    return {
        pages[one.corpus] / spec.label / f"seed-{seed.seed}" / _NAME: _written(seed)
        for one in compared
        for spec in one.specs
        for seed in spec.seeds
        if seed.lines
    }


def _written(seed: Evidence) -> bytes:
    """Return the event file of a seed."""
    events, records = library("tensorboard.compat.proto.event_pb2"), BytesIO()
    writer = library("tensorboard.summary.writer.record_writer").RecordWriter(records)
    writer.write(events.Event(wall_time=0.0, file_version=VERSION).SerializeToString())
    for time, step, tag, value in _values(seed):
        summary = {"value": [{"tag": tag, "simple_value": value}]}
        writer.write(events.Event(wall_time=time, step=step, summary=summary).SerializeToString())
    return records.getvalue()


def _values(seed: Evidence) -> Iterator[tuple[float, int, str, float]]:
    """Yield seconds, step, tag and value of everything that was logged."""
    seconds = {line["epoch"]: line["seconds"] for line in seed.lines if "seconds" in line}
    ended = dict(zip(seconds, accumulate(seconds.values()), strict=True))
    passes = max(line["pass"] for line in seed.lines)
    for line in seed.lines:
        for name, value in line.items():
            if name not in _PLACE and value is not None:
                tag = f"{line['split']}/{name}" + (f"_pass_{line['pass']}" if passes > 1 else "")
                yield ended.get(line["epoch"], 0.0), line["step"], tag, value


def library(name: str) -> Any:
    """Return a module of TensorBoard's; raises HrmsearchError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise HrmsearchError(
            f"event files need the library tensorboard ({error}): pip install 'hrmsearch[tensorboard]'"
        ) from error
