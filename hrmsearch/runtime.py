"""What runs a graph: the Backend protocol, the Executable it returns, and names to backends by entry point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from numpy.typing import NDArray

from hrmsearch import passes
from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Graph
from hrmsearch.ir.rule import Rule
from hrmsearch.passes import Target as Target
from hrmsearch.passes import expand as expand
from hrmsearch.passes import phased as phased
from hrmsearch.passes import prune as prune

Array = NDArray[Any]
#: device arrays by state path; opaque to callers, who pass on what they were given
Carry = Mapping[str, Any]
Precision = Literal["float32", "float64", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Pass:
    """One call of the graph on a window.

    inputs: arrays by input name (`tokens` i32[B, T], `targets` i32[B, T]). reset: the lifetime level to restore before
    the pass, one for all rows or i8[B]. last: whether this is each row's last pass on the window, so that states that
    commit on the last pass are taken.
    """

    inputs: Mapping[str, Array]
    reset: int | Array
    last: bool = True


Span = Sequence[Pass]


@dataclass(frozen=True, slots=True)
class KeyedRule:
    """How a keyed table moves: by a rule without slots, in the rows whose keys occurred since the last update.

    rate: what the learning rate of the other parameters is multiplied by.
    """

    rule: Rule
    decay: float = 0.0
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Training:
    """How parameters move: the rule, weight decay by parameter path, gradient-norm clip and EMA decay.

    keyed: by path, how each table moves that the graph declares as keyed; neither clip nor average knows of these.
    told: names of outputs that a span returns for every pass, beside its losses. frozen: paths of parameters that stand
    still; they have no gradient.
    """

    rule: Rule
    decay: Mapping[str, float]
    clip: float | None = None
    ema: float | None = None
    keyed: Mapping[str, KeyedRule] = field(default_factory=dict[str, KeyedRule])
    told: tuple[str, ...] = ()
    frozen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Options:
    """What a graph is compiled for.

    dtype: under bfloat16 a pass computes with copies of parameters and carries, which are kept in float32. optimize:
    let the backend spend time on compiling. capture: let it record whole train steps and replay them where the device
    can. kernels: let it run recurrences by kernels that it generates, where it has any for the device. brief: few and
    small steps follow, so that compiling is what takes time.
    """

    device: str = "cpu"
    dtype: Precision = "float32"
    training: Training | None = None
    optimize: bool = False
    capture: bool = True
    kernels: bool = True
    brief: bool = False


@dataclass(frozen=True, slots=True)
class SpanResult:
    """What a span gave: every pass's loss, the committed carry, detached, and by pass the outputs asked for."""

    losses: list[float]
    carry: Carry
    told: Sequence[Mapping[str, Array]] = ()


class Executable(Protocol):
    """A compiled graph with its parameters and, when compiled for training, its optimiser.

    Arrays are NumPy at the boundary; a carry stays on the device. Parameters are float arrays by path.
    """

    graph: Graph
    options: Options

    def init(self, seed: int) -> None:
        """Draw the parameters from `ir.initial_params` and forget the optimiser's state."""
        ...

    @property
    def params(self) -> dict[str, Array]:
        """A copy of the parameters."""
        ...

    def set_params(self, params: Mapping[str, Array]) -> None:
        """Replace the parameters; paths and shapes must match, else RunError."""
        ...

    def averaged(self) -> dict[str, Array]:
        """The exponential moving average of the parameters; the parameters themselves without one."""
        ...

    def init_carry(self, batch: int, tokens: int) -> Carry:
        """Return a carry of zeros; a first pass restores it by its reset."""
        ...

    def carry_to_numpy(self, carry: Carry) -> dict[str, Array]:
        """Return a carry as NumPy arrays."""
        ...

    def carry_from_numpy(self, arrays: Mapping[str, Array]) -> Carry:
        """Return a carry on the device."""
        ...

    def forward(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        """Evaluate one pass without gradient or dropout: every output it has inputs for, and the committed carry."""
        ...

    def eval_step(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        """Evaluate one pass but return the outputs without an axis C only: losses and counts, not logits."""
        ...

    def loss_and_grads(self, span: Span, carry: Carry) -> tuple[SpanResult, dict[str, Array]]:
        """Return the result of a span and the gradient of its summed loss; a parameter without a path is absent."""
        ...

    def backward(self, span: Span, carry: Carry, weight: float = 1.0) -> SpanResult:
        """Run a span in training mode and add `weight` times its gradient to what the next update will use."""
        ...

    def update(self, lr: float) -> float:
        """Clip, apply the rule to every parameter that has a gradient, forget the gradients; return their norm."""
        ...

    def train_step(self, span: Span, carry: Carry, lr: float) -> tuple[SpanResult, float]:
        """`backward` and `update` as one step; returns the result and the gradient norm."""
        ...

    def snapshot(self) -> dict[str, Array]:
        """Return everything that training will depend on: parameters, slots, averages, random state."""
        ...

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Continue from a snapshot, bit for bit on the same device."""
        ...

    def save(self, path: Path) -> None:
        """Write the parameters as safetensors."""
        ...

    def load(self, path: Path) -> None:
        """Read parameters from safetensors that any backend wrote."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A way to run graphs; registered under the entry-point group `hrmsearch.backends`."""

    name: str

    def compile(self, graph: Graph, options: Options) -> Executable:
        """Return an executable for a graph."""
        ...

    def emit(self, graph: Graph) -> str:
        """Return the source that `compile` would run."""
        ...

    def target(self, device: str) -> Target:
        """Return what a graph is compiled for on a device, which need not be here: its kind, and the forms of scans.

        Raises BackendError for a kind of device that the backend does not know.
        """
        ...

    def devices(self) -> Mapping[str, str]:
        """Return the devices it can use here, each with a description or the reason why not."""
        ...


@dataclass(frozen=True, slots=True)
class StartCost:
    """What it takes to begin training: launches of every span's train step, seconds to the end of the first one."""

    kernels: tuple[int, ...]
    seconds: float


@runtime_checkable
class SpreadsOut(Protocol):
    """A backend whose processes can share out several devices of one kind."""

    def places(self, device: str) -> Sequence[Mapping[str, str]]:
        """Return for each device that `device` may mean here the environment of a process that sees no other one."""
        ...


@runtime_checkable
class PrintsKernels(Protocol):
    """A backend that can show the kernels it would run on a device, whether or not that device is here."""

    def kernels(self, graph: Graph, options: Options, spans: Sequence[Span]) -> str:
        """Return one source file with the kernels of a forward pass and of every span's train step.

        Raises BackendError for a device that it cannot write for.
        """
        ...


@runtime_checkable
class CountsKernels(Protocol):
    """A backend whose compiling is slow enough that a user wants to know before a run."""

    def start_cost(self, graph: Graph, options: Options, spans: Sequence[Span]) -> StartCost:
        """Compile a graph, take the train step of every span, and return what that took."""
        ...


@runtime_checkable
class ReadsStates(Protocol):
    """A backend whose framework writes parameters to files of its own."""

    def read_state(self, path: Path) -> dict[str, Array]:
        """Return the arrays of such a file by name, and run nothing that stands in it; bfloat16 becomes float32.

        Raises RunError for a file that is none, or holds more than named arrays.
        """
        ...


@cache
def load_backend(name: str) -> Backend:
    """Return the backend registered under a name.

    Raises BackendError for an unknown name and for a backend whose framework is not installed.
    """
    (point,) = entry_points(group="hrmsearch.backends", name=known(name))
    try:
        backend: Backend = point.load()()
    except ImportError as error:
        raise BackendError(f"backend {name!r} cannot be used ({error}); pip install 'hrmsearch[{name}]'") from error
    return backend


def prepared(
    graph: Graph, backend: str = "torch", device: str = "cpu", rows: int | None = None, *, optimize: bool = False
) -> Graph:
    """Return a graph as a backend is given it: after the compiler passes. `rows` is what a batch will hold, if known.

    Raises BackendError for a backend that cannot be used and a kind of device that it does not know.
    """
    target = replace(load_backend(backend).target(device), optimize=optimize)
    return passes.run(graph, passes.pipeline(target if rows is None else replace(target, rows=rows)))


Capability = TypeVar("Capability")


def capable(name: str, capability: type[Capability], does: str) -> Capability:
    """Return a backend that has an optional capability, one of the protocols above.

    Raises BackendError where it has not, with what the capability `does` and the backends that have it.
    """
    backend = load_backend(name)
    if isinstance(backend, capability):
        return backend
    others = [other for other in backend_names() if _has(other, capability)]
    raise BackendError(f"backend {name!r} cannot {does}; these can: {', '.join(others) or 'none that is installed'}")


def _has(name: str, capability: type[Any]) -> bool:
    try:
        return isinstance(load_backend(name), capability)
    except BackendError:
        return False


def compile(
    graph: Graph,
    backend: str = "torch",
    device: str = "cpu",
    dtype: Precision = "float32",
    *,
    rows: int | None = None,
    **more: Any,
) -> Executable:
    """Return an executable for a graph that is `prepared`; `more` are other fields of Options."""
    options = Options(device=device, dtype=dtype, **more)
    return load_backend(backend).compile(prepared(graph, backend, device, rows, optimize=options.optimize), options)


def foreseen(backend: str, device: str, rows: int) -> Target:
    """Return a target without loading its backend: one that has every form that was measured.

    Raises BackendError for an unknown backend.
    """
    return Target(known(backend), device.lower().partition(":")[0], rows=rows)


def known(name: str) -> str:
    """Return the name of a backend; raises BackendError where none is registered under it."""
    if name not in backend_names():
        raise BackendError(f"unknown backend {name!r}; installed: {', '.join(backend_names())}")
    return name


def backend_names() -> list[str]:
    """Return the names of the registered backends."""
    return sorted(point.name for point in entry_points(group="hrmsearch.backends"))
