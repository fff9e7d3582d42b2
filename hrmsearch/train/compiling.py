"""From a spec and its graph to an executable that trains or judges, by one road for every caller."""

from hrmsearch.ir import TELEMETRY, Graph, keyed_params, moves
from hrmsearch.lowering import memory_prefix
from hrmsearch.optim.base import Optimizer
from hrmsearch.runtime import Executable, KeyedRule, Options, Training, load_backend, prepared
from hrmsearch.spec.model import Spec
from hrmsearch.train.halting import HEEDED
from hrmsearch.train.options import RunOptions


def compile_for(spec: Spec, graph: Graph, options: RunOptions, training: bool = True) -> Executable:
    """Return an executable for a spec's graph: the compiler passes run, then the backend.

    With `training` it has the spec's optimiser, clip and moving average. Raises BackendError where the backend or the
    device is missing.
    """
    chosen = options_for(spec, graph, options, training)
    return load_backend(options.backend).compile(prepared_for(spec, graph, options), chosen)


def options_for(spec: Spec, graph: Graph, options: RunOptions, training: bool = True) -> Options:
    """Return what a backend is told of how a spec is to run; with `training`, how its parameters move."""
    rule = training_of(spec, graph) if training else None
    return Options(options.device, spec.train.precision, rule, options.optimize, options.capture, options.kernels)


def prepared_for(spec: Spec, graph: Graph, options: RunOptions) -> Graph:
    """Return the graph that `compile_for` gives to the backend; `graph.ir` of a run holds it."""
    return prepared(graph, options.backend, options.device, spec.train.batch)


def source_for(spec: Spec, graph: Graph, options: RunOptions) -> str:
    """Return the source that `compile_for` runs; `model.py` of a run and `compile -o` hold it."""
    return load_backend(options.backend).emit(prepared_for(spec, graph, options))


def training_of(spec: Spec, graph: Graph) -> Training:
    """Return how a spec moves its parameters; those that are not trainable have no weight decay either."""
    optimizer = optimizer_of(spec)
    trained = [path for path, op in graph.params.items() if moves(op) == "trained"]
    keyed = {path: _by_row(spec, path, optimizer.lr) for path in keyed_params(graph)}
    told = [] if graph.nest.halt is None else [name for name in HEEDED if name in graph.outputs]
    told += [] if spec.train.telemetry is None else [name for name in graph.outputs if name.startswith(TELEMETRY)]
    return Training(optimizer.rule(), optimizer.decays(trained), spec.train.clip, spec.train.ema, keyed, tuple(told))


def _by_row(spec: Spec, path: str, lr: float) -> KeyedRule:
    """Return how a keyed table moves: as the memory says that holds it, with the schedule of the learning rate `lr`."""
    held = {memory_prefix(i): memory for i, memory in enumerate(spec.model.memory)}
    optimizer = held[path.partition(".")[0]].optimizer
    assert isinstance(optimizer, Optimizer)
    return KeyedRule(optimizer.rule(), optimizer.decays([path])[path], optimizer.lr / lr)


def optimizer_of(spec: Spec) -> Optimizer:
    """Return a spec's optimiser."""
    optimizer = spec.train.optimizer
    assert isinstance(optimizer, Optimizer)
    return optimizer
