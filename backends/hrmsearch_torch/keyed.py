"""Moves keyed tables: only the rows whose keys occurred, each once however often its key did."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from hrmsearch.errors import BackendError
from hrmsearch.runtime import KeyedRule, Training
from hrmsearch_torch import ranks
from hrmsearch_torch.graphs import DeviceCall
from hrmsearch_torch.rules import Plan, apply


class KeyedTables:
    """The keyed tables of a graph, and the keys that occurred since the last update.

    A table's gradient is that of a gather, so rows with one key have theirs added up; those of other ranks join them
    before the rule sees any. inputs: by path of a table, the input with its keys.
    """

    def __init__(
        self, training: Training | None, tables: Mapping[str, torch.Tensor], inputs: Mapping[str, str]
    ) -> None:
        self._rules: Mapping[str, KeyedRule] = training.keyed if training else {}
        self._plans = {path: Plan(rule.rule) for path, rule in self._rules.items()}
        self._tables = tables
        self._inputs = inputs
        self._seen: dict[str, list[torch.Tensor]] = {path: [] for path in tables}

    @property
    def keys(self) -> dict[str, torch.Tensor]:
        """The keys that occurred since the last update, as often as they did, by path."""
        return {path: torch.cat(seen) for path, seen in self._seen.items() if seen}

    def note(self, span: Sequence[DeviceCall]) -> None:
        """Note the keys of a span's passes."""
        for path, name in self._inputs.items():
            self._seen[path] += [call.inputs[name].long() for call in span]

    @torch.no_grad()
    def step(self, lr: float | torch.Tensor) -> None:
        """Move the rows that occurred, in any rank, and have a gradient; forget both."""
        for path, table in self._tables.items():
            keys, gradients = self._moving(path)
            if not len(keys):
                continue
            rule = self._rules.get(path)
            if rule is None:
                raise BackendError(f"{path}: compiled without a rule to move the rows of this table by")
            scalars = (lr * rule.rate, rule.decay, 1.0)
            # a key that occurs twice writes the same row twice
            (moved,) = apply(self._plans[path], [table[keys], gradients], scalars)
            table[keys] = moved
            table.grad = None
        self.forget()

    def _moving(self, path: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys whose rows move, and their gradients; alone, a key stands as often as it occurred."""
        table, seen = self._tables[path], self._seen[path]
        if not seen or table.grad is None:
            none = torch.zeros(0, dtype=torch.int64, device=table.device)
            return ranks.merged(none, table)
        return ranks.merged(torch.cat(seen), table.grad)

    def forget(self) -> None:
        """Forget every key."""
        for seen in self._seen.values():
            seen.clear()

    def restore(self, keys: Mapping[str, NDArray[Any]]) -> None:
        """Have these keys occurred and no others."""
        self.forget()
        for path, array in keys.items():
            self._seen[path].append(torch.tensor(array, device=self._tables[path].device))
