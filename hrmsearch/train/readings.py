"""What a model told while it trained, on its way to `metrics.jsonl`: a line per pass of every so-many-th step."""

from typing import Any, Final

from hrmsearch.spec.model import Spec
from hrmsearch.train.metrics import MetricsFile
from hrmsearch.train.progress import Progress
from hrmsearch.train.stepping import Stepper

#: the `split` of these lines: they are of the rows of one optimiser step
STEP: Final = "step"
#: lines wait until there are so many, or a checkpoint confirms them: a wait for the disk costs more than a small step
_MOST: Final = 1000


class Readings:
    """Keeps lines of telemetry until they are written; none where the spec asks for none."""

    def __init__(self, spec: Spec, stepper: Stepper) -> None:
        self._every = spec.train.telemetry.every if spec.train.telemetry else 0
        self._stepper = stepper
        self._lines: list[dict[str, Any]] = []

    def take(self, progress: Progress, file: MetricsFile) -> None:
        """Note what the step that was just taken told, if it is due."""
        if not self._every or progress.step % self._every:
            return
        for number, told in self._stepper.readings().items():
            place = {"step": progress.step, "epoch": progress.epoch + 1, "pass": number, "split": STEP}
            self._lines.append({**place, **told})
        if len(self._lines) >= _MOST:
            self.write(file)

    def write(self, file: MetricsFile) -> None:
        """Write what waits."""
        if self._lines:
            file.append(self._lines)
            self._lines = []
