"""What a backend may offer beyond running: `compile --kernels` and `explain --backend`, and the errors without it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import hrmsearch as hs
from hrmsearch import runtime
from hrmsearch.cli.app import app
from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph, Lifetime
from hrmsearch.runtime import Executable, Options, Span, StartCost, Target
from hrmsearch.train.probing import blank_spans


class Bare:
    """A backend that offers nothing more than it must."""

    name = "bare"

    def compile(self, graph: Graph, options: Options) -> Executable:
        raise BackendError("runs nothing")

    def emit(self, graph: Graph) -> str:
        return "source\n"

    def target(self, device: str) -> Target:
        return Target(self.name, device)

    def devices(self) -> Mapping[str, str]:
        return {}


class Able(Bare):
    """A backend that tells of kernels what it was asked."""

    name = "able"

    def kernels(self, graph: Graph, options: Options, spans: Sequence[Span]) -> str:
        trained = "trained" if options.training else "not trained"
        return f"{graph.name} on {options.device}, {options.dtype}, {trained}: {self._shapes(spans)}\n"

    def start_cost(self, graph: Graph, options: Options, spans: Sequence[Span]) -> StartCost:
        assert options.device in ("cpu", "gpu")
        return StartCost(tuple(100 + i for i in range(len(spans))), 1.25)

    @staticmethod
    def _shapes(spans: Sequence[Span]) -> list[tuple[int, ...]]:
        return [call.inputs["tokens"].shape for span in spans for call in span]


@pytest.fixture(autouse=True)
def backends(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Bare] = {"able": Able(), "bare": Bare()}
    monkeypatch.setattr(runtime, "load_backend", found.__getitem__)
    monkeypatch.setattr(runtime, "backend_names", lambda: list(found))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_kernels_are_those_of_the_spec_as_it_trains() -> None:
    done = invoke("compile", "hrm", "--backend", "able", "--device", "gpu", "--kernels")
    assert done.exit_code == 0, done.output
    assert done.stdout == "hrm on gpu, float32, trained: [(16, 64), (16, 64)]\n"


def test_kernels_can_be_asked_for_other_shapes_and_go_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "kernels.cu"
    shape = ["--batch", "2", "--tokens", "8", "-o", str(path)]
    done = invoke("compile", "transformer", "--backend", "able", "--kernels", *shape)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {path}\n")
    assert path.read_text() == "transformer on cpu, float32, trained: [(2, 8)]\n"


@pytest.mark.parametrize("option", [("--batch", "2"), ("--tokens", "2")])
def test_shapes_of_kernels_are_refused_for_source(option: tuple[str, str]) -> None:
    done = invoke("compile", "hrm", "--backend", "able", *option)
    assert done.exit_code == 2
    assert "--batch and --tokens are for --kernels; the source is the same for all" in done.stderr


def test_a_backend_without_kernels_names_those_with() -> None:
    done = invoke("compile", "hrm", "--backend", "bare", "--kernels")
    assert (done.exit_code, done.stderr) == (2, "hrmsearch: backend 'bare' cannot print kernels; these can: able\n")


def test_more_tokens_than_a_window_are_refused() -> None:
    done = invoke("compile", "hrm", "--backend", "able", "--kernels", "--tokens", "65")
    assert (done.exit_code, done.stderr) == (2, "hrmsearch: --tokens 65: a window of hrm holds 64\n")


def test_explain_ends_with_what_the_first_steps_take_if_asked() -> None:
    done = invoke("explain", "hrm", "--backend", "able", "--device", "gpu", "--first-steps")
    last = done.output.splitlines()[-1]
    assert last == "able on gpu: 100, then 101 kernels a step; the first step ends after 1.2 s"
    without = invoke("explain", "hrm", "--backend", "able", "--device", "gpu")
    assert without.output == "\n".join(done.output.splitlines()[:-2]) + "\n"


def test_explain_tells_programs_the_same() -> None:
    able = ("explain", "transformer", "--backend", "able", "--json")
    data = json.loads(invoke(*able, "--first-steps").stdout)
    assert data.pop("start") == {"backend": "able", "device": "cpu", "kernels": [100], "seconds": 1.25}
    assert data == json.loads(invoke(*able).stdout)


def test_first_steps_need_a_backend_that_counts() -> None:
    done = invoke("explain", "hrm", "--backend", "bare", "--first-steps")
    assert done.exit_code == 2
    assert done.stderr == "hrmsearch: backend 'bare' cannot count the kernels of a step; these can: able\n"


def test_blank_spans_are_those_of_a_window() -> None:
    spans = blank_spans(hs.lower(hs.load("infini_hrm")), 2, 4)
    assert [[(call.reset, call.last) for call in span] for span in spans] == [
        [(Lifetime.STREAM, False)],
        [(Lifetime.PASS, True)],
    ]
    joined = hs.lower(hs.load("infini_hrm", ["nest.backprop={windows: 2}"]))
    assert [len(span) for span in blank_spans(joined, 2, 4)] == [4]
