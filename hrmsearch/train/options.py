"""What a person chooses about a run that the spec leaves open: where it runs and where its files go."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how a spec is trained.

    out: the folder of all runs; a seed's files go to `<out>/<spec.name>/seed-<seed>/`. resume: continue an interrupted
    run, report a finished one. optimize: let the backend spend time on compiling. capture: let it record whole train
    steps where the device can. kernels: let it run recurrences by kernels that it generates. command: the words that
    started the run, for the manifest.
    """

    backend: str = "torch"
    device: str = "cpu"
    out: Path = Path("runs")
    resume: bool = False
    optimize: bool = False
    capture: bool = True
    kernels: bool = True
    command: tuple[str, ...] = ()
