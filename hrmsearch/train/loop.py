"""The loop: epochs of steps, validation, the best parameters, checkpoints; resumable between any two batches."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

from hrmsearch.errors import DivergedError
from hrmsearch.losses.base import Loss
from hrmsearch.losses.phases import minimised
from hrmsearch.runtime import Array, Executable
from hrmsearch.tasks.loaders import train_batches
from hrmsearch.train import metrics
from hrmsearch.train.checkpoint import Checkpoint
from hrmsearch.train.compiling import optimizer_of
from hrmsearch.train.halting import HALTED_AFTER
from hrmsearch.train.interrupting import Interrupted, Wish
from hrmsearch.train.job import Job
from hrmsearch.train.metrics import MetricsFile
from hrmsearch.train.nest import Group, fitting, group_length, groups, rows_of
from hrmsearch.train.progress import Progress
from hrmsearch.train.readings import Readings
from hrmsearch.train.rolling import Rolling
from hrmsearch.train.schedule import learning_rate
from hrmsearch.train.scores import Score
from hrmsearch.train.scoring import score, score_of
from hrmsearch.train.stepping import Stepper, Update
from hrmsearch.train.watch import EpochDone, Step, Watcher


class Trainer:
    """Trains one seed. The judge is another executable of the same graph: it holds the parameters that are scored.

    phases: gives the executable that trains in a phase, counted from 0. Parameters go from phase to phase, nothing
    else.

    What a run computes depends on the job alone: when checkpoints are written changes nothing. A checkpoint stands
    between two groups of batches, after every validation, between phases, and at the start.
    """

    def __init__(
        self, job: Job, phases: Callable[[int], Executable], judge: Executable, watcher: Watcher, wish: Wish
    ) -> None:
        self._job = job
        self._spec = job.plan.spec
        self._train = job.plan.spec.train
        self._phases = phases
        self._phase = 0
        self._executable = phases(0)
        self._judge = judge
        self._watcher = watcher
        self._wish = wish
        self._stepper = Stepper(self._executable, self._train.batch, self._rate, self._check)
        self._rolling = Rolling(job, self._stepper) if job.plan.graph.nest.halt else None
        self._readings = Readings(self._spec, self._stepper)
        self._best: dict[str, Array] = {}
        self.progress = Progress()

    # -- start, and start again --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start afresh."""
        self._executable.init(self._job.seed)
        self._metrics = MetricsFile(self._job.folder.metrics)
        self._save()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint as if nothing had happened.

        Raises RunError where it does not fit the graph, or the metrics file is shorter than it says.
        """
        self._metrics = MetricsFile(self._job.folder.metrics, checkpoint.metrics_bytes)
        self._phase = self._train.phase_at(checkpoint.progress.epoch)
        self._executable = self._phases(self._phase)
        self._stepper.take(self._executable)
        self._executable.init(self._job.seed)
        self._executable.restore(checkpoint.snapshot)
        self._stepper.restore(checkpoint.carries, checkpoint.rows)
        self._stepper.kept.restore(checkpoint.kept)
        if self._rolling:
            self._rolling.restore(checkpoint.rolling)
        self._best = dict(checkpoint.best)
        self.progress = checkpoint.progress
        self._mark()

    @property
    def _is_last(self) -> bool:
        return self._phase == len(self._job.plan.graph.nest.phases) - 1

    def _next_phase(self) -> None:
        """Hand the parameters on, if the epoch that begins is of another phase."""
        phase = self._train.phase_at(self.progress.epoch)
        if phase == self._phase:
            return
        params, self._phase = self._executable.averaged(), phase
        self._executable = self._phases(phase)
        self._executable.init(self._job.seed)
        self._executable.set_params(params)
        self._stepper.take(self._executable)
        self.progress.first_loss = None

    # -- the loop ----------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Train until the epochs or patience are used up.

        Raises DivergedError, and Interrupted where a signal asked to stop.
        """
        while not self._done:
            self._epoch()
        if self.progress.epoch < self._train.all_epochs:
            self._watcher.stopped_early(self._job.seed, self.progress.epoch, self.progress.best_epoch)

    @property
    def _done(self) -> bool:
        p, patience = self.progress, self._train.patience
        begun = self._train.begins(self._phase)
        if p.epoch >= self._train.all_epochs:
            return True
        if patience is None or not self._is_last or p.epoch == begun or not self._train.validates(p.epoch):
            return False
        return p.epoch - max(p.best_epoch, begun) >= patience

    def _epoch(self) -> None:
        plan, p = self._job.plan, self.progress
        if self._rolling:
            while p.batch < plan.epoch_steps:
                self._timed(self._roll)
        else:
            self._walk()
        self._end_epoch()
        self._heed()

    def _walk(self) -> None:
        """Train on every window of an epoch."""
        plan, p = self._job.plan, self.progress
        nest, sections = plan.graph.nest, plan.data.train(self._job.seed, p.epoch)
        batches = train_batches(sections, nest.loader, plan.batch, self._job.seed, p.epoch, p.batch)
        for group in groups(fitting(batches, plan.graph), group_length(nest)):
            self._timed(lambda group=group: self._group(group))

    def _group(self, group: Group) -> None:
        losses = self._stepper.step(group, self._updated)
        self.progress.add_batch(losses, len(group) * rows_of(group[0]), len(group))

    def _roll(self) -> None:
        """Train on one pass of every row; rows that halt take new windows."""
        assert self._rolling is not None
        p = self.progress
        loss, halted, right = self._rolling.step(p.step, self._updated)
        p.add_batch([loss], self._job.plan.batch, 1)
        p.add_halted(halted, right)

    def _timed(self, work: Callable[[], None]) -> None:
        """Train a little, and write a checkpoint if it is time."""
        begun = time.monotonic()
        work()
        self.progress.seconds += time.monotonic() - begun
        if time.monotonic() - self._saved >= self._train.checkpoint:
            self._save()
        self._heed()

    def _heed(self) -> None:
        """Stop where a signal asked to, with a checkpoint of this very step."""
        if self._wish.signal is not None:
            if self._at != self.progress:
                self._save()
            raise Interrupted(self._wish.signal, self._job.folder.path, self.progress.step)

    def _rate(self) -> float:
        peak, per_epoch = optimizer_of(self._spec, self._phase).lr, self._job.plan.epoch_steps
        step = self.progress.step - self._train.begins(self._phase) * per_epoch
        return learning_rate(self._train.schedule, peak, step + 1, self._train.epochs_of(self._phase) * per_epoch)

    def _updated(self, update: Update) -> None:
        p = self.progress
        p.step += 1
        if not math.isfinite(update.grad_norm):
            raise self._diverged(f"step {p.step} (epoch {p.epoch + 1}): the gradient's norm is {update.grad_norm}")
        p.norms, p.updates, p.lr = p.norms + update.grad_norm, p.updates + 1, update.lr
        total = self._job.plan.steps
        event = Step(self._job.seed, p.step, total, p.epoch + 1, update.loss, update.lr, update.grad_norm, p.seconds)
        self._watcher.step(event)
        self._readings.take(p, self._metrics)

    def _check(self, loss: float, number: int) -> None:
        p = self.progress
        place = f"step {p.step + 1} (epoch {p.epoch + 1}, pass {number})"
        if not math.isfinite(loss):
            raise self._diverged(f"{place}: the loss is {loss}")
        if p.first_loss is None:
            p.first_loss = loss
        limit = self._train.diverged * p.first_loss
        if p.first_loss > 0 and loss > limit:
            raise self._diverged(f"{place}: the loss is {loss:.4g}, more than {limit:.4g} (train.diverged)")

    def _diverged(self, what: str) -> DivergedError:
        self._readings.write(self._metrics)
        return DivergedError(
            f"{what}; the last good checkpoint is {self._job.folder.checkpoint} (step {self._at.step})"
        )

    # -- the end of an epoch -----------------------------------------------------------------------------------------

    def _end_epoch(self) -> None:
        """Write down what the epoch gave and go to the next; validate, if it is time."""
        p = self.progress
        train = [self._trained(i + 1, loss) for i, loss in enumerate(p.train_losses())]
        due = self._train.validates(p.epoch + 1)
        valid = self._validated() if due else ()
        best = due and self._is_last and p.judge(valid, self._job.plan.task.criterion)
        if best:
            self._best = self._judge.params
        self._record(train, valid)
        seconds = p.seconds
        p.end_epoch()
        if self._rolling is None:
            self._stepper.forget()
        self._next_phase()
        if due:
            self._save()
        if best:
            self._judge.save(self._job.folder.weights)
        event = EpochDone(self._job.seed, p.epoch, self._train.all_epochs, p.step, train, valid, best, seconds)
        self._watcher.epoch(event)

    def _validated(self) -> tuple[Score, ...]:
        """Give the judge the parameters as they are, and return their scores on valid."""
        self._judge.set_params(self._executable.averaged())
        valid = self._score("valid")
        for found in valid:
            if not math.isfinite(found.loss):
                place = f"validation after epoch {self.progress.epoch + 1}, pass {found.number}"
                raise self._diverged(f"{place}: loss {found.loss}")
        return valid

    def _trained(self, number: int, loss: float) -> Score:
        """Return the score of a pass in training; only a loss per target tells what the task is judged by."""
        _, objective = minimised(self._spec)[self._phase]
        return score_of(number, loss, self._job.plan.task) if isinstance(objective, Loss) else Score(number, loss)

    def _score(self, split: str) -> tuple[Score, ...]:
        plan, data = self._job.plan, self._job.plan.data
        return score(self._judge, data.splits[split], plan.task, batch=data.rows_at_once(split, self._train.batch))

    def _record(self, train: Iterable[Score], valid: Iterable[Score]) -> None:
        p = self.progress
        self._readings.write(self._metrics)
        more = {"lr": p.lr, "grad_norm": p.norms / p.updates, "seconds": p.seconds}
        if rows := sum(p.halted):
            passes = sum(number * count for number, count in enumerate(p.halted, 1))
            more |= {"halted": rows, "passes": passes / rows, "right": p.halted_right / rows}
            more |= {f"{HALTED_AFTER}{number}": count for number, count in enumerate(p.halted, 1)}
        lines = [metrics.record(p.step, p.epoch + 1, "train", found, **more) for found in train]
        lines += [metrics.record(p.step, p.epoch + 1, "valid", found) for found in valid]
        self._metrics.append(lines)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        path = self._job.folder.checkpoint
        self._readings.write(self._metrics)
        moment = Checkpoint(
            origin=self._job.origin,
            progress=replace(self.progress),
            metrics_bytes=self._metrics.length,
            snapshot=self._executable.snapshot(),
            carries=self._stepper.carries(),
            rows=self._stepper.carried_rows,
            best=self._best,
            rolling=self._rolling.snapshot() if self._rolling else {},
            kept=self._stepper.kept.snapshot(),
        )
        moment.save(path)
        self._mark()
        self._watcher.checkpoint(path, self.progress.step)

    def _mark(self) -> None:
        # of its own: an epoch's seconds are appended to a list
        self._saved, self._at = time.monotonic(), deepcopy(self.progress)

    # -- after training ----------------------------------------------------------------------------------------------

    def test(self) -> Mapping[str, Sequence[Score]]:
        """Score every split that chose nothing with the best parameters, and write them and the scores."""
        p = self.progress
        self._judge.set_params(self._best)
        self._judge.save(self._job.folder.weights)
        tested = {split: self._score(split) for split in self._job.plan.data.splits if split not in ("train", "valid")}
        for split, scores in tested.items():
            self._metrics.append(metrics.record(p.best_step, p.best_epoch, split, found) for found in scores)
        return tested
