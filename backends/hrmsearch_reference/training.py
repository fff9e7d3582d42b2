"""Parameters in motion: clipping, the update rule by its IR body, and the moving average."""

from collections.abc import Mapping, Sequence

import numpy as np

from hrmsearch.errors import BackendError, RunError
from hrmsearch.ir import Op, Region, Type, Value, axis
from hrmsearch.ir.ops import lookup
from hrmsearch.runtime import Training
from hrmsearch_reference.tape import Array, numpy_dtype


def clip_factor(norm: float, clip: float | None) -> float:
    """Return what gradients are multiplied with, as `torch.nn.utils.clip_grad_norm_` has it."""
    return 1.0 if clip is None else min(1.0, clip / (norm + 1e-6))


def global_norm(gradients: Mapping[str, Array]) -> float:
    """Return the Euclidean norm over all entries of all gradients."""
    return float(np.sqrt(sum(float(np.sum(array * array)) for array in gradients.values())))


class Optimiser:
    """Applies a rule to parameters in place and holds what it remembers of each.

    slots: by parameter path, one array per slot of the rule. steps: how many updates each parameter received.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._body = _lifted(training.rule.body)
        self._bodies = {path: _lifted(keyed.rule.body) for path, keyed in training.keyed.items()}
        self.slots: dict[str, list[Array]] = {}
        self.steps: dict[str, int] = {}

    def update(self, params: dict[str, Array], gradients: Mapping[str, Array], lr: float) -> float:
        """Clip, move every parameter that has a gradient, and return the norm before clipping."""
        norm = global_norm(gradients)
        factor = clip_factor(norm, self._training.clip)
        for path, gradient in gradients.items():
            params[path] = self._move(path, params[path], gradient * factor, lr)
        return norm

    def update_rows(self, params: dict[str, Array], path: str, gradient: Array, keys: Sequence[int], lr: float) -> None:
        """Move the rows of a keyed table that occurred.

        Raises BackendError without a rule for it.
        """
        if path not in self._bodies:
            raise BackendError(f"{path}: compiled without a rule to move the rows of this table by")
        keyed, rows = self._training.keyed[path], params[path][keys]
        scalars = (np.full(rows.size, number) for number in (lr * keyed.rate, keyed.decay, 1.0))
        (moved,) = _evaluate(self._bodies[path], [rows.ravel(), gradient[keys].ravel(), *scalars])
        params[path][keys] = moved.reshape(rows.shape)

    def _move(self, path: str, param: Array, gradient: Array, lr: float) -> Array:
        rule = self._training.rule
        slots = self.slots.setdefault(path, [np.zeros(param.shape) for _ in rule.slots])
        self.steps[path] = self.steps.get(path, 0) + 1
        scalars = (lr, self._training.decay.get(path, 0.0), float(self.steps[path]))
        arrays = [param, gradient, *slots, *(np.full(param.shape, scalar) for scalar in scalars)]
        moved, *self.slots[path] = [a.reshape(param.shape) for a in _evaluate(self._body, [a.ravel() for a in arrays])]
        return moved

    def snapshot(self) -> dict[str, Array]:
        """Return slots and step counts by name."""
        names = self._training.rule.slots
        slots = {f"slot:{n}:{path}": a for path, held in self.slots.items() for n, a in zip(names, held, strict=True)}
        return slots | {f"steps:{path}": np.asarray(count, np.int64) for path, count in self.steps.items()}

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Take slots and step counts from a snapshot.

        Raises RunError if a slot of the rule is missing.
        """
        counts = {name.removeprefix("steps:"): array for name, array in snapshot.items() if name.startswith("steps:")}
        self.steps = {path: int(array) for path, array in counts.items()}
        try:
            self.slots = {p: [snapshot[f"slot:{n}:{p}"].copy() for n in self._training.rule.slots] for p in counts}
        except KeyError as error:
            raise RunError(f"the snapshot is of another rule: it lacks {error}") from error


def average(kept: Mapping[str, Array], params: Mapping[str, Array], decay: float) -> dict[str, Array]:
    """Return the moving average after one more update."""
    return {path: decay * array + (1.0 - decay) * params[path] for path, array in kept.items()}


def _lifted(body: Region) -> Region:
    """Return a rule's body over vectors of entries instead of single ones: every type gains one axis."""
    env: dict[Value, Value] = {}

    def lift(value: Value) -> Value:
        env[value] = Value(Type(value.type.dtype, (axis("N"), *value.type.axes)), value.name)
        return env[value]

    new = Region([lift(value) for value in body.args])
    for op in body.ops:
        operands = tuple(env[value] for value in op.operands)
        new.ops.append(Op(op.kind, operands, op.attrs, results=tuple(map(lift, op.results)), place=op.place))
    new.results = [env[value] for value in body.results]
    return new


def _evaluate(body: Region, arrays: Sequence[Array]) -> list[Array]:
    env = dict(zip(body.args, arrays, strict=True))
    for op in body.ops:
        meaning = lookup(op.kind).numpy
        assert meaning is not None, f"a rule is made of elementwise primitives, {op.kind} is none"
        array = meaning(op, [env[value] for value in op.operands], {"N": arrays[0].size})
        env[op.result] = np.asarray(array, numpy_dtype(op.result.type.dtype))
    return [env[value] for value in body.results]
