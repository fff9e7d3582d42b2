"""Runs one pass of an expanded graph on a tape, by the NumPy meanings of the op table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph, Op, Region, Value, join_path
from hrmsearch.ir.binding import RESET, bind_sizes, reset_rows, restores, takes_candidate
from hrmsearch.ir.ops import lookup, untouched
from hrmsearch.ir.types import Lifetime
from hrmsearch.runtime import Pass
from hrmsearch_reference.tape import Array, Cell, Tape, numpy_dtype

#: a value that hangs on an input the caller did not give is None
_Env = dict[Value, Cell | None]
_Cells = Sequence[Cell | None]


@dataclass(frozen=True, slots=True)
class PassCells:
    """What a pass gave: the outputs it has inputs for, and the committed carry."""

    outputs: dict[str, Cell]
    carry: dict[str, Cell]


def run_pass(
    graph: Graph, params: Mapping[str, Cell], call: Pass, carry: Mapping[str, Cell], tape: Tape | None = None
) -> PassCells:
    """Evaluate one pass of an expanded graph and commit its states.

    Raises BackendError for inputs or carried states that do not fit the graph.
    """
    arrays = {path: cell.array for path, cell in carry.items()}
    sizes = bind_sizes(graph, call.inputs, arrays)
    with np.errstate(all="ignore"):  # infinities are part of the meaning: masked scores, diverged runs
        return _Pass(graph, params, call, carry, sizes, tape or Tape()).run()


class _Pass:
    def __init__(
        self,
        graph: Graph,
        params: Mapping[str, Cell],
        call: Pass,
        carry: Mapping[str, Cell],
        sizes: dict[str, int],
        tape: Tape,
    ) -> None:
        self._graph, self._params, self._call, self._carry = graph, params, call, carry
        self._reset: int | Array = int(call.reset) if np.ndim(call.reset) == 0 else call.reset
        self._sizes, self._tape = sizes, tape
        self._constants: dict[Op, Cell] = {}
        self._structures: Mapping[str, Callable[[Op, _Cells, _Env, str], _Cells]] = {
            "input": self._input,
            "param": self._param,
            "state": self._state,
            "const": self._const,
            "repeat": self._repeat,
            "scan": self._scan,
            "call": self._callee,
        }

    def run(self) -> PassCells:
        """Evaluate main and commit."""
        env: _Env = {}
        self._region(self._graph.main, [], env, "")
        outputs = {name: cell for name, v in self._graph.outputs.items() if (cell := env[v]) is not None}
        carry: dict[str, Cell] = {}
        for path, op in self._graph.states.items():
            value = self._graph.candidates[path] if takes_candidate(op, self._call.last) else op.result
            cell = env[value]
            if cell is None:
                raise BackendError(f"state {path!r} needs an input that was not given")
            carry[path] = cell
        return PassCells(outputs, carry)

    def _region(self, region: Region, args: _Cells, env: _Env, prefix: str) -> list[Cell | None]:
        env.update(zip(region.args, args, strict=True))
        for op in region.ops:
            operands = [env[value] for value in op.operands]
            run = self._structures.get(op.kind)
            results = run(op, operands, env, prefix) if run else [self._primitive(op, operands)]
            env.update(zip(op.results, results, strict=True))
        return [env[value] for value in region.results]

    def _primitive(self, op: Op, operands: _Cells) -> Cell | None:
        row = lookup(op.kind)
        meaning = row.numpy
        assert meaning is not None, f"{op.kind} has no NumPy meaning: expand the graph first"
        given = _given(operands)
        if given is None:
            return None
        sizes = self._sizes
        return self._tape.apply(
            lambda arrays: meaning(op, arrays, sizes), given, op.result.type.dtype, cut=not row.differentiable
        )

    # -- leaves ------------------------------------------------------------------------------------------------------

    def _input(self, op: Op, _operands: _Cells, _env: _Env, _prefix: str) -> _Cells:
        name, dtype = op.attrs["name"], numpy_dtype(op.result.type.dtype)
        if name in self._call.inputs:
            return [Cell(np.asarray(self._call.inputs[name], dtype))]
        if name == RESET:
            return [Cell(np.asarray(self._rows(self._reset), dtype))]
        return [None]

    def _rows(self, reset: int | Array) -> Array:
        batch = self._sizes.get("B")
        if batch is None:
            raise BackendError("the batch size is unknown: no input and no state has the axis B")
        return reset_rows(reset, batch)

    def _param(self, op: Op, _operands: _Cells, _env: _Env, prefix: str) -> _Cells:
        return [self._params[join_path(prefix, op.attrs["path"])]]

    def _const(self, op: Op, _operands: _Cells, _env: _Env, _prefix: str) -> _Cells:
        if op not in self._constants:
            cell = self._primitive(op, [])
            assert cell is not None
            self._constants[op] = cell
        return [self._constants[op]]

    def _state(self, op: Op, operands: _Cells, _env: _Env, _prefix: str) -> _Cells:
        """Restore rows; a reset for all rows leaves one of the two paths only, for the gradient too."""
        start, rows = operands
        carried, reset = self._carry[op.attrs["path"]], self._reset
        uniform = isinstance(reset, int) and op.operands[1] is self._graph.inputs.get(RESET)
        if isinstance(reset, int) and uniform and not restores(op, reset):
            return [carried]
        if start is None or rows is None:
            return [None]
        shape, level = carried.array.shape, Lifetime.of(op.attrs["lifetime"])
        names, dtype = op.result.type.names, op.result.type.dtype

        def fresh(arrays: Sequence[Array]) -> Array:
            have = op.operands[0].type.names
            source = [n if name in have else 1 for name, n in zip(names, shape, strict=True)]
            return np.broadcast_to(arrays[0].reshape(source), shape)

        if uniform:
            return [self._tape.apply(fresh, [start], dtype)]
        chosen = (rows.array >= level).reshape([-1] + [1] * (len(shape) - 1))
        return [self._tape.apply(lambda a: np.where(chosen, fresh(a[:1]), a[1]), [start, carried], dtype)]

    # -- structure ---------------------------------------------------------------------------------------------------

    def _callee(self, op: Op, operands: _Cells, _env: _Env, prefix: str) -> _Cells:
        body = self._graph.functions[op.attrs["callee"]].body
        return self._region(body, operands, {}, join_path(prefix, op.attrs["prefix"]))

    def _repeat(self, op: Op, operands: _Cells, env: _Env, prefix: str) -> _Cells:
        cells = list(operands)
        for _ in range(op.attrs["n"]):
            cells = self._region(op.regions[0], cells, env, prefix)
        if not op.attrs["free"]:
            return cells
        kept = zip(cells, untouched(op), strict=True)
        return [cell if same or cell is None else cell.detached() for cell, same in kept]

    def _scan(self, op: Op, operands: _Cells, env: _Env, prefix: str) -> _Cells:
        given = _given(operands)
        if given is None:
            return [None] * len(op.results)
        n, name = op.attrs["carries"], op.attrs["axis"]
        positions = [value.type.index(name) for value in op.operands[n:]]
        carried, along = list[Cell | None](given[:n]), given[n:]
        stacked: list[list[Cell | None]] = [[] for _ in op.results[n:]]
        for t in range(along[0].array.shape[positions[0]]):
            slices = [self._slice(v, c, t, at) for v, c, at in zip(op.operands[n:], along, positions, strict=True)]
            results = self._region(op.regions[0], [*carried, *slices], env, prefix)
            carried = results[:n]
            for column, cell in zip(stacked, results[n:], strict=True):
                column.append(cell)
        return [*carried, *(self._stack(v, column, op) for v, column in zip(op.results[n:], stacked, strict=True))]

    def _slice(self, value: Value, cell: Cell, t: int, at: int) -> Cell:
        return self._tape.apply(lambda arrays: np.take(arrays[0], t, axis=at), [cell], value.type.dtype)

    def _stack(self, value: Value, cells: _Cells, op: Op) -> Cell | None:
        given = _given(cells)
        if given is None:
            return None
        at = op.attrs["at"]
        return self._tape.apply(lambda arrays: np.stack(arrays, axis=at), given, value.type.dtype)


def _given(cells: _Cells) -> list[Cell] | None:
    """Return the cells if none is missing."""
    given = [cell for cell in cells if cell is not None]
    return given if len(given) == len(cells) else None
