"""TensorBoard event files while a run goes on: every step and every epoch, written as each epoch ends."""

import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from hrmsearch.report.events import VERSION, library
from hrmsearch.train import EpochDone, SeedStarted, Step, Watcher


class LiveEvents(Watcher):
    """Appends what it hears to an event file per seed, FOLDER/<name>/seed-<seed>.

    Steps have the tags `step/loss`, `step/lr` and `step/grad_norm`; epochs those of `report --tensorboard`. A resumed
    seed begins another file beside the first, named by its step. Raises HrmsearchError without the library tensorboard.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._event = library("tensorboard.compat.proto.event_pb2").Event
        self._writer = library("tensorboard.summary.writer.record_writer").RecordWriter
        self._folder = folder / name
        self._file = self._folder
        self._told = BytesIO()

    def started(self, event: SeedStarted) -> None:
        """Begin the file of a seed."""
        self._file = self._folder / f"seed-{event.seed}" / f"events.out.tfevents.{event.step}"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(b"")
        self._told = BytesIO()
        self._tell(file_version=VERSION)

    def step(self, event: Step) -> None:
        """Keep the loss of a step, its rate and the norm of its gradient."""
        values = {"loss": event.loss, "lr": event.lr, "grad_norm": event.grad_norm}
        self._scalars(event.step, {f"step/{name}": value for name, value in values.items()})

    def epoch(self, event: EpochDone) -> None:
        """Write the scores of an epoch, and all that was kept."""
        for split, scores in (("train", event.train), ("valid", event.valid)):
            for score in scores:
                more = f"_pass_{score.number}" if len(scores) > 1 else ""
                values = {name: value for name, value in score.record().items() if name != "pass"}
                self._scalars(event.step, {f"{split}/{name}{more}": value for name, value in values.items()})
        with self._file.open("ab") as file:
            file.write(self._told.getvalue())
        self._told = BytesIO()

    def _scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        known = [{"tag": tag, "simple_value": value} for tag, value in values.items() if value is not None]
        self._tell(step=step, summary={"value": known})

    def _tell(self, **event: Any) -> None:
        self._writer(self._told).write(self._event(wall_time=time.time(), **event).SerializeToString())
