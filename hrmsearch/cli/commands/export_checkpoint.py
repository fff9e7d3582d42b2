"""`hrmsearch export-checkpoint`: weights under the names that HRM and TRM published theirs."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("export-checkpoint")
@options.weights
@options.of_spec
@options.overrides
@click.option("-o", "--output", required=True, metavar="OUT", type=click.Path(path_type=Path), help="Safetensors.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def command(weights: Path, spec: str | None, overrides: tuple[str, ...], output: Path, force: bool) -> None:
    """Write weights of HRM or TRM for the published code.

    They are those of a run, or safetensors of a spec's parameters. Names begin with `inner.`, as in the published
    models; what their q-head has and the spec's has not is zero, with the published bias of -5.
    """
    from hrmsearch import passes
    from hrmsearch.cli.files import may_write, one_run
    from hrmsearch.interop.hrm import to_published
    from hrmsearch.ir.checkpoint import read_params, write_arrays
    from hrmsearch.lowering import lower
    from hrmsearch.spec.load import load
    from hrmsearch.train.files import RunFolder

    if weights.is_dir() == (spec is not None):
        raise click.UsageError("name a run alone, or a file of weights with its --spec")
    may_write(output, force=force)
    if spec is None:
        folder = RunFolder(one_run(weights))
        weights, loaded = folder.weights, load(folder.resolved, overrides)
    else:
        loaded = load(spec, overrides)
    published = to_published(read_params(weights, passes.run(lower(loaded))))
    write_arrays(output, published)
    click.echo(f"wrote {output}: {len(published)} arrays", err=True)
