"""`hrmsearch doctor`: what is installed here, what is missing, and what its absence costs."""

import os
import platform
import re
import shlex
import shutil
from collections.abc import Iterator
from typing import Final

import click

Row = tuple[str, str, str]

# What a missing package or program costs; a package that hrmsearch requires is required by name.
_COSTS: Final = {
    "torch": "no training: pip install 'hrmsearch[torch]'",
    "tinygrad": "no tinygrad backend: pip install 'hrmsearch[tinygrad]'",
    "triton": "recurrences on CUDA run in torch's own forms, 5 to 20 times slower, sLSTM 60 times: pip install triton",
    "matplotlib": "no figures: pip install 'hrmsearch[plots]'",
    "optuna-dashboard": "no dashboard for studies: pip install 'hrmsearch[dashboard]'",
    "cc": "models that recur train 2 to 4 times slower on the CPU, and no torch.compile: install gcc or clang",
    "clang": "tinygrad's CPU device needs it: apt-get install clang",
    "nvcc": "nothing that runs here; the tests compile printed CUDA kernels with it",
}


@click.command("doctor")
def command() -> None:
    """Say what is here, what is missing, and what it costs."""
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.report.table import Table

    sections = {"packages": _packages(), "backends": _backends(), "compilers": _compilers(), "corpora": _corpora()}
    click.echo(f"Python {platform.python_version()} on {platform.platform()}\n")
    for title, rows in sections.items():
        print_table(Table([title, "here", "what is missing costs"], "lll", [list(rows)]))


def _packages() -> Iterator[Row]:
    from importlib.metadata import PackageNotFoundError, requires, version

    yield "hrmsearch", version("hrmsearch"), ""
    required = [line for line in requires("hrmsearch") or [] if "extra ==" not in line]
    names = [re.split(r"[^\w.-]", line)[0] for line in required]
    for name in [*names, "torch", "triton", "tinygrad", "matplotlib", "optuna-dashboard"]:
        try:
            yield name, version(name), ""
        except PackageNotFoundError:
            yield name, "not installed", _COSTS.get(name, "hrmsearch needs it: pip install hrmsearch")


def _backends() -> Iterator[Row]:
    from hrmsearch.errors import BackendError
    from hrmsearch.runtime import backend_names, load_backend

    for name in backend_names():
        try:
            devices = load_backend(name).devices()
        except BackendError as error:
            yield name, "not usable", str(error)
            continue
        except Exception as error:  # a framework that is installed but broken may raise anything
            yield name, "broken", f"{type(error).__name__}: {error}"
            continue
        for device, about in devices.items():
            yield f"{name} on {device}", about, ""


def _compilers() -> Iterator[Row]:
    for name in ("cc", "clang", "nvcc"):
        # as a build would find it
        command = shlex.split(os.environ.get("CC", "")) if name == "cc" else []
        where = shutil.which((command or [name])[0])
        yield name, where or "not found", "" if where else _COSTS[name]


def _corpora() -> Iterator[Row]:
    from hrmsearch.tasks import corpora

    for location in map(corpora.locate, corpora.names()):
        yield location.name, "found" if location.found else "not here", "" if location.found else location.where
