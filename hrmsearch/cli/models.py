"""Trained models that a command is pointed to: a run's folder, or a file of weights with the spec that they are of."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hrmsearch.cli.files import one_run

if TYPE_CHECKING:
    from hrmsearch.train import LoadedModel


def loaded(
    weights: Path, spec: str | None, overrides: tuple[str, ...], backend: str | None, device: str | None
) -> "LoadedModel":
    """Return the model of a run, or of a file of weights and a spec.

    Raises UsageError where both or neither say which model it is, HrmsearchError where it cannot be had.
    """
    from hrmsearch.spec.load import load
    from hrmsearch.train import RunOptions, load_run, load_weights

    if spec is None:
        if overrides:
            raise click.UsageError("--set changes the spec of a file of weights; name it by --spec")
        if weights.is_file():
            raise click.UsageError(f"{weights} is no folder of a run; weights need the --spec that they are of")
        return load_run(one_run(weights), backend, device)
    if weights.is_dir():
        raise click.UsageError(f"{weights} is a run, which has a spec; name it alone, or a file of weights")
    default = RunOptions()
    return load_weights(
        weights, load(spec, overrides), RunOptions(backend or default.backend, device or default.device)
    )
