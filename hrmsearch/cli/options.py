"""Arguments and options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hrmsearch.spec.model import Spec


class SpecName(click.types.StringParamType):
    """A spec: a YAML file or a shipped name; the loader judges it, so that every error reads the same."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Offer the shipped names, then files."""
        from click.shell_completion import CompletionItem

        from hrmsearch.spec.load import shipped

        names = [CompletionItem(name) for name in shipped() if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


spec = click.argument("spec", metavar="SPEC", type=SpecName())
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override one value of the spec, such as model.dim=96; may be repeated.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
backend = click.option("--backend", default="torch", show_default=True, metavar="NAME", help="What runs the model.")
device = click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="NAME",
    help="Where it runs; `hrmsearch doctor` lists devices.",
)
batch = click.option("--batch", type=click.IntRange(min=1), metavar="B", help="Rows to count for; the spec's batch.")
tokens = click.option(
    "--tokens", type=click.IntRange(min=1), metavar="T", help="Tokens to count for; the spec's window."
)
run_dir = click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
weights = click.argument("weights", metavar="RUN|FILE", type=click.Path(path_type=Path))
optimize = click.option(
    "--optimize", is_flag=True, help="Let the backend compile for minutes before the first step, for faster ones."
)
of_spec = click.option("--spec", metavar="SPEC", type=SpecName(), help="The model, where FILE is no run.")
run_backend = click.option("--backend", metavar="NAME", help="In place of the backend that trained it.")
run_device = click.option("--device", metavar="NAME", help="In place of the device that trained it.")

study = click.argument("study", metavar="STUDY")
storage = click.option(
    "--storage",
    metavar="URL",
    envvar="HRMSEARCH_STORAGE",
    help="Where the study lives: a journal file, or a URL that Optuna knows; by default a journal in its folder.",
)


def shape(spec: "Spec", batch: int | None, tokens: int | None) -> tuple[int, int]:
    """Return the rows and tokens to count for, those of the spec where an option leaves them out.

    Raises HrmsearchError for more tokens than a window holds.
    """
    from hrmsearch.errors import HrmsearchError

    window: int = spec.task.window
    if tokens is not None and tokens > window:
        raise HrmsearchError(f"--tokens {tokens}: a window of {spec.name} holds {window}")
    return batch or spec.train.batch, tokens or window
