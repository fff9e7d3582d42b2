"""Where numbers come from: manifests with hashes, budgets, conditions, and the commands that repeat them."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hrmsearch.report.document import Code
from hrmsearch.report.evidence import Evidence
from hrmsearch.report.numbers import count, duration, scaled, size
from hrmsearch.report.runs import Trained
from hrmsearch.report.table import Table
from hrmsearch.spec.load import dump

_CONDITIONS = ("backend", "device", "precision", "optimize", "threads")


def manifests_table(seeds: Sequence[Evidence]) -> Table:
    """Return the manifest of every seed, by file and SHA-256: each number of a seed stands in its manifest."""
    rows = [(str(one.seed), str(one.file), one.sha256) for one in seeds]
    return Table(["seed", "manifest", "SHA-256"], "rll", [rows], "manifests")


def budget_table(trained: Trained) -> Table:
    """Return what a spec costs and what its training took."""
    first = trained.seeds[0].manifest
    budget: Mapping[str, float] = first["budget"]
    results = [one.result for one in trained.seeds]
    rows = [
        ("parameters", count(budget["params"])),
        ("training FLOPs per token, all passes", scaled(budget["flops_per_token"])),
        ("carry of a row", size(budget["state_bytes"])),
        ("kept for the backward of a row, estimated", size(budget["activation_bytes"])),
        ("seeds", _joined(one.seed for one in results)),
        ("epochs trained", _joined(one.epochs for one in results)),
        ("optimiser steps", _joined(count(one.steps) for one in results)),
        ("training time", duration(sum(one.seconds_per_epoch * one.epochs for one in results))),
    ]
    return Table(["what", "how much"], "lr", [rows], "budget")


def conditions_table(trained: Trained) -> Table:
    """Return under which data, versions and machine the seeds were trained; values differ where several stand."""
    seen = [one.manifest for one in trained.seeds]
    first: Mapping[str, Any] = seen[0]
    rows = [
        ("spec hash", first["spec_hash"]),
        ("data", first["data"]["corpus"]),
        ("data hash", first["data"]["sha256"]),
        ("versions", _joined(_pairs(one["versions"]) for one in seen)),
        ("platform", _joined(_pairs(one["platform"]) for one in seen)),
        *((key, _joined(one[key] for one in seen)) for key in _CONDITIONS),
    ]
    return Table(["what", "which"], "ll", [rows], "conditions")


def commands(trained: Trained) -> Code:
    """Return the commands that trained a spec, and those that train each seed again and compare."""
    asked = dict.fromkeys(shlex.join(one.manifest["command"]) for one in trained.seeds if one.manifest["command"])
    again = [shlex.join(("hrmsearch", "reproduce", str(one.file))) for one in trained.seeds]
    return Code("\n".join([*asked, *again]) + "\n")


def _joined(values: Iterable[Any]) -> str:
    """Return distinct values in the order in which they come."""
    return ", ".join(dict.fromkeys(map(str, values)))


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key} {value}" for key, value in values.items())


def rendered_spec(trained: Trained) -> Code:
    """Return the spec of a manifest with every default, as it was resolved; seeds are those of the command."""
    return Code(dump(trained.seeds[0].manifest["spec"]), "the spec with every default")
