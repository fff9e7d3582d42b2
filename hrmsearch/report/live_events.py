"""TensorBoard event files while a run goes on: every step and every epoch, written as each epoch ends."""

import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from hrmsearch.report.events import VERSION, library
from hrmsearch.train import EpochDone, SeedStarted, Step, Watcher

#: a session log of this status makes TensorBoard drop what other files tell of its step and later ones
_START: Final = 1


class LiveEvents(Watcher):
    """Appends what it hears to an event file per seed, FOLDER/<name>/seed-<seed>.

    Steps have the tags `step/loss`, `step/lr` and `step/grad_norm`; epochs those of `report --tensorboard`. A resumed
    seed begins another file beside the first, named by its step, which takes the place of what was told of later steps.
    Raises HrmsearchError without the library tensorboard.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._event = library("tensorboard.compat.proto.event_pb2").Event
        self._writer = library("tensorboard.summary.writer.record_writer").RecordWriter
        self._folder = folder / name
        self._file = self._folder
        self._several = False
        self._told = BytesIO()

    def started(self, event: SeedStarted) -> None:
        """Begin the file of a seed."""
        self._file = self._folder / f"seed-{event.seed}" / f"events.out.tfevents.{event.step}"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(b"")
        self._told = BytesIO()
        self._several = event.passes > 1
        self._tell(file_version=VERSION)
        if event.step:
            self._tell(step=event.step + 1, session_log={"status": _START})

    def step(self, event: Step) -> None:
        """Keep the loss of a step, its rate and the norm of its gradient."""
        values = {"loss": event.loss, "lr": event.lr, "grad_norm": event.grad_norm}
        self._scalars(event.step, {f"step/{name}": value for name, value in values.items()})

    def epoch(self, event: EpochDone) -> None:
        """Write the scores of an epoch, and all that was kept."""
        for split, scores in (("train", event.train), ("valid", event.valid)):
            for score in scores:
                more = f"_pass_{score.number}" if self._several else ""
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
