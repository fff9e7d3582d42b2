"""The memory of pairs does what a list of pairs would do, in plain Python."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrmsearch.blocks.cube import Cube
from hrmsearch.ir import Builder, DType, Type, Value, axis
from hrmsearch.runtime import Array
from tests.mixers import Alone, Arrays

DIM, EPS = 3, 1e-6


@dataclass
class Pairs:
    """One row of the memory, as a list of [key, value, uses], oldest first."""

    cube: Cube
    w_k: Array
    pairs: list[list[Any]] = field(default_factory=list[list[Any]])

    def key(self, x: Array) -> Array:
        key = x @ self.w_k
        return key / np.sqrt(key @ key + EPS)

    def chosen(self, x: Array) -> list[int]:
        """Return the pairs most like a token, the older of equals first."""
        likeness = [float(self.key(x) @ key) for key, _, _ in self.pairs]
        return sorted(range(len(self.pairs)), key=lambda i: -likeness[i])[: self.cube.top]

    def recall(self, x: Array) -> tuple[Array, float]:
        some = [self.pairs[i] for i in self.chosen(x)]
        if not some:
            return np.zeros(DIM), 0.0
        likeness = np.array([self.key(x) @ key for key, _, _ in some])
        weights = np.exp(self.cube.sharpness * likeness)
        found = (weights / weights.sum()) @ np.array([value for _, value, _ in some])
        return found, float(np.clip(likeness.mean(), 0.0, 1.0))

    def write(self, window: Array, mask: Array) -> None:
        tokens = [t for t in range(len(window)) if mask[t]]
        reads = [self.chosen(window[t]) for t in tokens]
        if self.cube.writes != "all":
            least = sorted(tokens, key=lambda t: self.recall(window[t])[1])[: self.cube.writes]
            tokens = [t for t in tokens if t in least]
        for i in (i for read in reads for i in read):
            self.pairs[i][2] += 1
        tokens = tokens[-self.cube.capacity :]
        for _ in range(len(self.pairs) + len(tokens) - self.cube.capacity):
            uses = [pair[2] if self.cube.evict == "least_used" else 0 for pair in self.pairs]
            self.pairs.pop(uses.index(min(uses)))
        self.pairs += [[self.key(window[t]), window[t], 0] for t in tokens]


def alone(cube: Cube) -> Alone:
    """Return a graph of a window: what it reads, and the pairs after it."""

    def build(b: Builder) -> dict[str, Value]:
        rows, tokens = axis("B"), axis("T")
        x = b.input("x", Type(DType.COMPUTE, (rows, tokens, axis("D", DIM))))
        write = b.input("write", Type(DType.BOOL, (rows, tokens)))
        held = {name: b.input(f"{name}0", type_) for name, (_, type_) in cube.init_state(b, x).items()}
        recall = cube.recall(b, held, x)
        new = cube.update(b, held, x, write)
        more = {f"{name}1": value for name, value in new.items()}
        return {"y": cube.readout(b, held, x), "found": recall.found, "confidence": recall.confidence, **more}

    return Alone.of(build, DIM)


def cubes() -> st.SearchStrategy[Cube]:
    fields: dict[str, st.SearchStrategy[Any]] = {
        "at": st.just("input"),
        "capacity": st.integers(1, 5),
        "top": st.integers(1, 5),
        "writes": st.sampled_from(["all", 1, 2]),
        "evict": st.sampled_from(["fifo", "least_used"]),
        "sharpness": st.sampled_from([1.0, 8.0]),
    }
    return st.fixed_dictionaries(fields).map(Cube.model_validate)


def empty(model: Alone, rows: int) -> dict[str, Array]:
    states = {name: value.type for name, value in model.graph.inputs.items() if name.endswith("0")}
    return {name: np.zeros(type_.shape({"B": rows})) for name, type_ in states.items()}


@settings(max_examples=25)
@given(cubes(), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 2**16))
def test_a_cube_is_a_list_of_pairs(cube: Cube, lengths: list[int], seed: int) -> None:
    rng, rows, model = np.random.default_rng(seed), 2, alone(cube)
    params = model.params(seed)
    lists = [Pairs(cube, params["w_k"]) for _ in range(rows)]
    held: Mapping[str, Array] = empty(model, rows)
    for length in lengths:
        window, mask = rng.normal(size=(rows, length, DIM)), rng.random((rows, length)) < 0.7
        got = model.run(params, {"x": window, "write": mask, **held})
        for row, pairs in enumerate(lists):
            found = [pairs.recall(x) for x in window[row]]
            np.testing.assert_allclose(got["found"][row], [one for one, _ in found], atol=1e-12)
            np.testing.assert_allclose(got["confidence"][row], [sure for _, sure in found], atol=1e-12)
            pairs.write(window[row], mask[row])
            _holds(got, row, pairs)
        held = {f"{name[:-1]}0": array for name, array in got.items() if name.endswith("1")}


def _holds(got: Arrays, row: int, pairs: Pairs) -> None:
    """Assert that a row holds exactly these pairs, in this order, and zeros behind them."""
    count = int(got["held1"][row])
    assert count == len(pairs.pairs)
    for name, at in (("keys1", 0), ("values1", 1), ("uses1", 2)):
        if name in got:
            wanted = [pair[at] for pair in pairs.pairs]
            np.testing.assert_allclose(got[name][row, :count], np.reshape(wanted, got[name][row, :count].shape))
            assert not got[name][row, count:].any()


@settings(max_examples=5)
@given(st.sampled_from(["fifo", "least_used"]), st.integers(0, 2**16))
def test_gradient_goes_through_the_query_and_never_into_the_store(evict: str, seed: int) -> None:
    cube = Cube.model_validate({"at": "input", "capacity": 4, "top": 2, "evict": evict, "writes": 2})
    rng, model = np.random.default_rng(seed), alone(cube)
    params, inputs = model.params(seed), {"x": rng.normal(size=(1, 3, DIM)), "write": np.ones((1, 3), np.bool_)}
    written = model.run(params, inputs | empty(model, 1))
    held = {f"{name[:-1]}0": array for name, array in written.items() if name.endswith("1")}
    run = model.modules["torch"].Model().to(torch.float64)
    run.load_state_dict({path: torch.tensor(value) for path, value in params.items()})
    given_ = {name: torch.tensor(array) for name, array in (inputs | held).items()}

    call: Any = torch.func.functional_call
    gradcheck: Any = torch.autograd.gradcheck

    def outputs(w_k: Any) -> Mapping[str, torch.Tensor]:
        return call(run, {"w_k": w_k}, (), given_)[0]

    def read(w_k: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return outputs(w_k)["y"], outputs(w_k)["confidence"]

    w_k = torch.tensor(params["w_k"], requires_grad=True)
    through = {name for name, value in outputs(w_k).items() if value.requires_grad}
    assert through == {"y", "found", "confidence"}
    assert gradcheck(read, w_k)
