# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of from_numpy untyped
"""A stack whose closed tokens are skipped, against the same stack that computes every token, interleaved.

    python benchmarks/skipping.py [--rows 32] [--window 256] [--dim 256] [--rounds 7] [--write]

Four transformer blocks with attention and SwiGLU of four widths, on a CPU with one thread. The head before the second
layer closes a share of the tokens, the later ones none, so that as many are open in layers two to four. `plain` is the
stack without halting; `masked` has the heads and computes every token, then selects; `gathered` is what the emitted
source does. The script refuses to report a time unless masked and gathered logits agree to 1e-4 of the largest. Times
are processor time of one forward; savings are by the median, to masked and to plain.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from interleaved import about

import hrmsearch as hs
from hrmsearch.emission import load_source
from hrmsearch.files import write
from hrmsearch.runtime import Array, Executable, Options, Pass, load_backend, prepared
from hrmsearch.testing import toy

assert toy
LAYERS, AGREE = 4, 1e-4
OPEN = (1.0, 0.75, 0.5, 1 / 3, 0.25)
RESULTS = Path(__file__).parents[1] / "results" / "skipping" / "README.md"
GATHERS = "len(rows) > 0.9 * is_open.numel()"
Forward = Callable[[], Array]


def spec_of(dim: int, window: int, *, skips: bool) -> str:
    """Return a spec of four blocks, with or without halting between them."""
    block = {"kind": "transformer", "repeat": LAYERS, "mixer": {"kind": "attention", "heads": 4}}
    halting = {"skip": {"init": {"normal": 1.0}, "bias": -100.0}} if skips else {}
    model = {
        "dim": dim,
        "defaults": {"ffn": {"kind": "swiglu", "width": 4 * dim}},
        "core": {"kind": "stack", "blocks": [block], **halting},
        "head": {"kind": "lm", "read": "last"},
    }
    return json.dumps({"spec": 1, "name": "skipping", "model": model, "task": {"kind": "toy", "window": window}})


def compiled(dim: int, window: int, *, skips: bool = True, trace: bool = False) -> Executable:
    """Return a program of the stack."""
    graph = prepared(hs.lower(hs.loads(spec_of(dim, window, skips=skips)), trace=trace))
    executable = load_backend("torch").compile(graph, Options())
    executable.init(0)
    return executable


def masked(executable: Executable) -> Callable[..., object]:
    """Return the emitted module of a program, made to compute every token."""
    source = load_backend("torch").emit(executable.graph)
    assert GATHERS in source, "the emitted source gathers in another way now"
    model = load_source(source.replace(GATHERS, "True"), "masked").Model()
    model.load_state_dict({path: torch.from_numpy(array) for path, array in executable.params.items()})
    return model.eval()


def closing(params: dict[str, Array], stream: Array, share: float) -> dict[str, Array]:
    """Return parameters by which a share of the tokens stays open from the second layer on."""
    found = dict(params)
    for layer in range(2, LAYERS):
        found[f"core.skip.{layer}.weight"] = np.zeros_like(found[f"core.skip.{layer}.weight"])
    logits = stream @ found["core.skip.1.weight"]
    bias = -np.quantile(logits, share) if share < 1 else -100.0
    return {**found, "core.skip.1.bias": np.full(1, bias, np.float32)}


def timed(runners: dict[str, Forward], rounds: int) -> dict[str, list[float]]:
    """Return milliseconds of every runner, which take turns in alternating order."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for i in range(rounds):
        for name in sorted(runners, reverse=bool(i % 2)):
            begin = time.process_time()
            runners[name]()
            times[name].append(1e3 * (time.process_time() - begin))
    return times


def row_of(share: float, times: dict[str, list[float]]) -> Sequence[str]:
    """Return the cells of one open rate."""
    middle = {name: statistics.median(values) for name, values in times.items()}
    cells = [f"{min(values):.0f} / {middle[name]:.0f}" for name, values in times.items()]
    saved = [f"{1 - middle['gathered'] / middle[name]:.0%}" for name in ("masked", "plain")]
    return [f"{share:.2f}", f"{(1 + (LAYERS - 1) * share) / LAYERS:.2f}", *cells, *saved]


def main() -> None:
    """Check that both forms agree at every open rate, then time them in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.parent.name}/{RESULTS.name}")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokens = np.random.default_rng(0).integers(0, 5, (args.rows, args.window), dtype=np.int32)
    call = Pass({"tokens": tokens}, 3)
    plain, gathered = (compiled(args.dim, args.window, skips=skips) for skips in (False, True))
    traced = compiled(args.dim, args.window, trace=True)
    stream = traced.forward(call, {})[0]["trace.1.0"]
    rows: list[Sequence[str]] = []
    for share in OPEN:
        gathered.set_params(closing(traced.params, stream, share))
        every = masked(gathered)

        def at_all(every: Callable[..., object] = every) -> Array:
            with torch.no_grad():
                return every(torch.from_numpy(tokens))[0]["logits"].numpy()  # pyright: ignore[reportIndexIssue, reportUnknownVariableType]

        runners: dict[str, Forward] = {
            "plain": lambda: plain.forward(call, {})[0]["logits"],
            "masked": at_all,
            "gathered": lambda: gathered.forward(call, {})[0]["logits"],
        }
        wanted, got = runners["masked"](), runners["gathered"]()
        if (gap := float(np.abs(got - wanted).max() / np.abs(wanted).max())) > AGREE:
            raise SystemExit(f"open rate {share}: masked and gathered differ by {gap:.1e}: no times are reported")
        runners["plain"]()
        rows.append(row_of(share, timed(runners, args.rounds)))
        print(*rows[-1], f"(largest difference {gap:.0e})", sep="  ", flush=True)
    if args.write:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        write(RESULTS, page(rows, f"B={args.rows} T={args.window} D={args.dim}"))


def page(rows: Sequence[Sequence[str]], size: str) -> str:
    """Return the page of results."""
    head = ["open, layers 2 to 4", "open, all layers", "plain", "masked", "gathered", "saved of masked", "of plain"]
    lines = [head, ["---:"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"""# Layers that closed tokens skip

    python benchmarks/skipping.py --write

Forward of four transformer blocks with tokens that halt (`model.core.skip`), {size}, SwiGLU of four widths;
{about("cpu")}; milliseconds, min / median, all runners in turn in one process.

`plain` has no halting, `masked` computes every token and selects, `gathered` is what emitted torch runs on a CPU:
feed-forward layers, norms and sums at open tokens only, mixers at all of them, since closed tokens are still read.
Logits of masked and gathered agree to {AGREE:.0e} of the largest.

{table}
"""


if __name__ == "__main__":
    main()
