"""Text from a trained language model, symbol by symbol, with the context that training gave it.

What a symbol is drawn from:
- a model without state of lifetime `stream` sees the last W symbols (W is the window), as it sees the last position of
  a window in training;
- a model with such state reads prompt and sample as one stream, cut into windows of W from the first symbol on, as a
  contiguous loader cuts a document. Each window that is full goes through all passes once and its committed memory is
  carried on. The window under way is read again, whole, for every symbol, from the memory that the last full window
  committed, and what it would write is dropped until it is full.

Every window goes through as many passes as in training; the last pass's logits count.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import DataError, RunError
from hrmsearch.ir import Lifetime, generator
from hrmsearch.runtime import Array, Executable
from hrmsearch.tasks.base import Ids
from hrmsearch.tasks.char_lm import TextData
from hrmsearch.tasks.loaders import Batch
from hrmsearch.train.loading import LoadedModel
from hrmsearch.train.nest import passes, settling

# no UTF-8 character has more bytes, so a longer run of bytes that does not decode never will
_LONGEST_CHARACTER = 4
_BROKEN = "\N{REPLACEMENT CHARACTER}"


def sample(model: LoadedModel, prompt: str, n: int, temperature: float = 1.0, seed: int = 0) -> Iterator[str]:
    """Yield `n` symbols that continue a prompt, as text, piece by piece; the prompt itself is not repeated.

    temperature: 0 takes the likeliest symbol; otherwise logits are divided by it. The same seed gives the same text. An
    empty prompt stands for a line break; characters outside the alphabet are read as the task reads them. Symbols that
    only together make a character come together. Raises RunError for a task that is no text, DataError for n
    below 0 and for a temperature that is below 0 or not finite.
    """
    data = model.data
    if not isinstance(data, TextData):
        raise RunError(f"{model.place}: the task {model.task.kind!r} has no text to sample")
    if n < 0:
        raise DataError(f"{n} symbols cannot be drawn; use at least 0")
    if not 0 <= temperature < np.inf:
        raise DataError(f"the temperature is {temperature}; it must be finite and not below 0")
    ids, _ = data.encode(prompt or "\n")
    return _pieces(data, _drawn(_reader(model.executable), list(map(int, ids)), n, temperature, seed))


def _drawn(reader: "_Windows", ids: list[int], n: int, temperature: float, seed: int) -> Iterator[int]:
    rng = generator(seed, "sample")
    for _ in range(n):
        ids.append(_choose(reader.logits(ids), temperature, rng))
        yield ids[-1]


def _choose(logits: Array, temperature: float, rng: np.random.Generator) -> int:
    """Draw from softmax(logits / temperature), computed in float64."""
    if temperature == 0:
        return int(np.argmax(logits))
    scaled: NDArray[np.float64] = (logits.astype(np.float64) - np.max(logits)) / temperature
    cumulative: NDArray[np.float64] = np.cumsum(np.exp(scaled))
    drawn = rng.random() * float(cumulative[-1])
    return min(int(np.count_nonzero(cumulative <= drawn)), len(logits) - 1)


def _pieces(data: TextData, ids: Iterator[int]) -> Iterator[str]:
    """Decode symbols, holding back those that are not yet a character."""
    held: list[int] = []
    for symbol in ids:
        held.append(symbol)
        text = data.decode(np.asarray(held, np.int32))
        if not text.endswith(_BROKEN) or len(held) >= _LONGEST_CHARACTER:
            yield text
            held = []
    if held:
        yield data.decode(np.asarray(held, np.int32))


class _Windows:
    """Logits after a text, for a model whose windows know nothing of each other."""

    def __init__(self, executable: Executable) -> None:
        self._executable = executable
        self._nest = executable.graph.nest

    def logits(self, ids: Sequence[int]) -> Array:
        """Return [C] logits for the symbol after `ids`."""
        logits, _ = self._read(ids[-self._nest.window :], {}, Lifetime.STREAM)
        return logits

    def _read(self, ids: Sequence[int], memory: dict[str, Array], reset: Lifetime) -> tuple[Array, dict[str, Array]]:
        """Send one window, perhaps a short one, through all passes; return the last logits and the carry."""
        tokens: Ids = np.asarray([ids], np.int32)
        carry = self._executable.init_carry(1, len(ids))
        if memory:
            fresh = self._executable.carry_to_numpy(carry)
            carry = self._executable.carry_from_numpy(fresh | self._cut(memory, len(ids)))
        logits: Array = np.zeros(0)
        batch = Batch({"tokens": tokens}, reset)
        for call in (*settling(batch, self._nest), *passes(batch, self._nest.passes)):
            outputs, carry = self._executable.forward(call, carry)
            logits = outputs["logits"][0, -1]
        return logits, self._executable.carry_to_numpy(carry)

    def _cut(self, memory: dict[str, Array], tokens: int) -> dict[str, Array]:
        """Cut state that has an entry per token to a short window: position t goes on from position t."""
        types = {path: op.result.type for path, op in self._executable.graph.states.items()}
        return {
            path: array.take(range(tokens), types[path].index("T")) if "T" in types[path].names else array
            for path, array in memory.items()
        }


class _Stream(_Windows):
    """Logits after a text, for a model that carries memory from window to window."""

    def __init__(self, executable: Executable) -> None:
        super().__init__(executable)
        self._memory: dict[str, Array] = {}
        self._read_windows = 0

    def logits(self, ids: Sequence[int]) -> Array:
        """Return [C] logits for the symbol after `ids`, which continue what was asked before."""
        window = self._nest.window
        # the window under way has at least one symbol: at its last symbol a full one is still read for its logits
        while (self._read_windows + 1) * window < len(ids):
            start = self._read_windows * window
            _, carry = self._read(ids[start : start + window], self._memory, self._reset)
            self._memory = {path: carry[path] for path in _streams(self._executable)}
            self._read_windows += 1
        logits, _ = self._read(ids[self._read_windows * window :], self._memory, self._reset)
        return logits

    @property
    def _reset(self) -> Lifetime:
        return Lifetime.WINDOW if self._read_windows else Lifetime.STREAM


def _streams(executable: Executable) -> list[str]:
    """Return the paths of the states that live through a stream."""
    return [path for path, op in executable.graph.states.items() if op.attrs["lifetime"] == "stream"]


def _reader(executable: Executable) -> _Windows:
    return _Stream(executable) if _streams(executable) else _Windows(executable)
