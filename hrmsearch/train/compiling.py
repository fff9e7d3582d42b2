"""From a spec and its graph to an executable that trains or judges, by one road for every caller."""

from hrmsearch.ir import TELEMETRY, Graph, keyed_params, moves
from hrmsearch.lowering import memory_prefix
from hrmsearch.optim.base import Optimizer
from hrmsearch.runtime import Executable, KeyedRule, Options, Training, load_backend, phased, prepared
from hrmsearch.spec.model import Spec
from hrmsearch.train.halting import HEEDED
from hrmsearch.train.options import RunOptions


def compile_for(
    spec: Spec, graph: Graph, options: RunOptions, training: bool = True, phase: int | None = None
) -> Executable:
    """Return an executable for a spec's graph: the compiler passes run, then the backend.

    With `training` it has the optimiser, clip and moving average of a phase, by default the last one. Raises
    BackendError where the backend or the device is missing.
    """
    number = len(graph.nest.phases) - 1 if phase is None else phase
    own = phased(graph, number)
    chosen = options_for(spec, own, options, training, number)
    return load_backend(options.backend).compile(prepared_for(spec, own, options), chosen)


def options_for(
    spec: Spec, graph: Graph, options: RunOptions, training: bool = True, phase: int | None = None
) -> Options:
    """Return what a backend is told of how a spec is to run; with `training`, how its parameters move."""
    rule = training_of(spec, graph, phase) if training else None
    return Options(options.device, spec.train.precision, rule, options.optimize, options.capture, options.kernels)


def prepared_for(spec: Spec, graph: Graph, options: RunOptions) -> Graph:
    """Return the graph that `compile_for` gives to the backend; `graph.ir` of a run holds it."""
    return prepared(graph, options.backend, options.device, spec.train.batch, optimize=options.optimize)


def source_for(spec: Spec, graph: Graph, options: RunOptions) -> str:
    """Return the source that `compile_for` runs; `model.py` of a run and `compile -o` hold it."""
    return load_backend(options.backend).emit(prepared_for(spec, graph, options))


def training_of(spec: Spec, graph: Graph, phase: int | None = None) -> Training:
    """Return how the last phase of a graph moves its parameters; phase: which one of the spec that is.

    Those that are not trainable have no weight decay either.
    """
    optimizer, current = optimizer_of(spec, phase), graph.nest.phases[-1]
    frozen = frozenset(path for path in graph.params if not current.trains(path))
    trained = [path for path, op in graph.params.items() if moves(op) == "trained" and path not in frozen]
    keyed = {path: _by_row(spec, path, optimizer.lr) for path in keyed_params(graph) if path not in frozen}
    told = [] if graph.nest.halt is None else [name for name in HEEDED if name in graph.outputs]
    told += [] if spec.train.telemetry is None else [name for name in graph.outputs if name.startswith(TELEMETRY)]
    rule, decays = optimizer.rule(), optimizer.decays(trained)
    return Training(rule, decays, spec.train.clip, spec.train.ema, keyed, tuple(told), frozen)


def _by_row(spec: Spec, path: str, lr: float) -> KeyedRule:
    """Return how a keyed table moves: as the memory says that holds it, with the schedule of the learning rate `lr`."""
    held = {memory_prefix(i): memory for i, memory in enumerate(spec.model.memory)}
    optimizer = held[path.partition(".")[0]].optimizer
    assert isinstance(optimizer, Optimizer)
    return KeyedRule(optimizer.rule(), optimizer.decays([path])[path], optimizer.lr / lr)


def optimizer_of(spec: Spec, phase: int | None = None) -> Optimizer:
    """Return the optimiser of a phase of a spec, by default the last one."""
    optimizer = spec.train.optimizer_of(-1 if phase is None else phase)
    assert isinstance(optimizer, Optimizer)
    return optimizer
