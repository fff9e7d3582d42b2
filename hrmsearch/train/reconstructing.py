"""What a carry knows of its input: tokens read back from states by a linear probe in closed form."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hrmsearch.errors import DataError, RunError
from hrmsearch.runtime import Array, Carry
from hrmsearch.tasks.loaders import eval_batches
from hrmsearch.train.loading import LoadedRun
from hrmsearch.train.nest import fitting, passes, rows_of

#: the weight of the ridge, as a share of the mean square of a feature
RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """How well a probe reads tokens back from one state after one pass, on windows that it was not fitted to.

    accuracy: the share of tokens that are the likeliest. r2: the share of the variance of one-hot tokens that is
    explained; below 0 where guessing their shares is better. guess: the accuracy of naming the most frequent token.
    tokens: how many were held out.
    """

    state: str
    number: int
    accuracy: float
    r2: float
    guess: float
    tokens: int


def reconstruct(run: LoadedRun, split: str = "valid", *, back: int = 0, most: int = 20_000) -> list[Reconstruction]:
    """Return how well the tokens of a split can be read back from each state of the carry, after each pass.

    A state with a value per token is asked for the token `back` places before it, any other for the one `back` places
    before the last of the window. The probe is a ridge regression to one-hot tokens, fitted on every other window and
    judged on those between. most: tokens at which to stop. Raises DataError for a split or a place that does not exist,
    RunError where nothing is carried.
    """
    data = run.data
    if split not in data.splits:
        raise DataError(f"there is no split {split!r}; there are {', '.join(data.splits)}")
    if not 0 <= back < data.splits[split].window:
        raise DataError(f"no token stands {back} places back in a window of {data.splits[split].window}")
    if not run.executable.graph.states:
        raise RunError(f"{run.place}: the model carries no state to read tokens from")
    found: dict[tuple[int, str], list[tuple[Array, Array, Array]]] = {}
    for number, window, carry, tokens in _carries(run, split, most):
        for path, value in carry.items():
            found.setdefault((number, path), []).append(_pairs(run, path, value, tokens, window, back))
    results: list[Reconstruction] = []
    for (number, path), pairs in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        features, tokens, fit = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        results.append(judged(path, number, features, tokens, fit, run.task.vocabulary))
    return results


def _carries(run: LoadedRun, split: str, most: int) -> Iterator[tuple[int, Array, dict[str, Array], Array]]:
    """Yield, pass by pass, its number, the windows' numbers, the carry after it, and the tokens."""
    executable, found = run.executable, run.data.splits[split]
    nest, batch = executable.graph.nest, run.data.rows_at_once(split, run.spec.train.batch)
    carry: Carry | None = None
    rows = seen = 0
    for i, dealt in enumerate(fitting(eval_batches(found, nest.loader, batch), executable.graph)):
        if carry is None or rows_of(dealt) != rows:
            rows = rows_of(dealt)
            carry = executable.init_carry(rows, found.window)
        tokens = dealt.arrays["tokens"]
        for number, call in enumerate(passes(dealt, nest.passes), start=1):
            _, carry = executable.eval_step(call, carry)
            yield number, i + np.arange(rows), executable.carry_to_numpy(carry), tokens
        seen += tokens.size
        if seen >= most:
            return


def _pairs(
    run: LoadedRun, path: str, value: Array, tokens: Array, window: Array, back: int
) -> tuple[Array, Array, Array]:
    """Return features, tokens to be read from them, and whether to fit on them or to judge by them."""
    names = run.executable.graph.states[path].result.type.names
    fit = window % 2 == 0
    if "T" not in names:
        return value.reshape(len(value), -1), tokens[:, -1 - back], fit
    # what was prepended stands before the tokens
    per_token = np.moveaxis(value, names.index("T"), 1)[:, -tokens.shape[1] :]
    features = per_token[:, back:].reshape(-1, int(np.prod(per_token.shape[2:])))
    wanted = tokens[:, : tokens.shape[1] - back]
    return features, wanted.flatten(), np.repeat(fit, wanted.shape[1])


def judged(path: str, number: int, features: Array, tokens: Array, fit: Array, classes: int) -> Reconstruction:
    """Return what a probe makes of features [N, D], fitted to the rows that `fit` (bool[N]) marks.

    Raises DataError where it marks all of them or none.
    """
    if fit.all() or not fit.any():
        raise DataError("the split has a single window; a probe needs some to fit and others to judge")
    x, y = np.asarray(features, np.float64), np.eye(classes)[tokens]
    mean, shares = x[fit].mean(0), y[fit].mean(0)
    x = x - mean
    gram = np.asarray(np.matmul(x[fit].T, x[fit]), np.float64)
    ridge = RIDGE * max(float(np.trace(gram)) / len(gram), np.finfo(np.float64).tiny)
    target = np.asarray(np.matmul(x[fit].T, y[fit] - shares), np.float64)
    weights = np.asarray(np.linalg.solve(gram + ridge * np.eye(len(gram)), target), np.float64)
    held = np.asarray(np.matmul(x[~fit], weights), np.float64) + shares
    wanted = y[~fit]
    missed, spread = float(((wanted - held) ** 2).sum()), float(((wanted - wanted.mean(0)) ** 2).sum())
    return Reconstruction(
        state=path,
        number=number,
        accuracy=float((held.argmax(1) == tokens[~fit]).mean()),
        r2=1.0 - missed / spread if spread else 0.0,
        guess=float((shares.argmax() == tokens[~fit]).mean()),
        tokens=len(held),
    )
