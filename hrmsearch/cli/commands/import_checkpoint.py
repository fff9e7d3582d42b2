"""`hrmsearch import-checkpoint`: published weights of HRM or TRM as a spec's own."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("import-checkpoint")
@click.argument("checkpoint", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--spec", required=True, metavar="SPEC", type=options.SpecName(), help="The model that they are of.")
@options.overrides
@click.option(
    "-o", "--output", metavar="OUT", type=click.Path(path_type=Path), help="Default: the spec's name, .safetensors."
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def command(checkpoint: Path, spec: str, overrides: tuple[str, ...], output: Path | None, force: bool) -> None:
    """Take weights that HRM or TRM published.

    FILE is a state dict, as safetensors or as torch saves it; of the latter only tensors are read, and no code that a
    pickle may hold is run. The weights are written as safetensors that every backend loads.
    """
    from hrmsearch import passes
    from hrmsearch.cli.files import may_write
    from hrmsearch.errors import RunError
    from hrmsearch.interop.hrm import from_published
    from hrmsearch.interop.states import read_state
    from hrmsearch.ir.checkpoint import write_arrays
    from hrmsearch.lowering import lower
    from hrmsearch.spec.load import load

    loaded = load(spec, overrides)
    wanted = passes.run(lower(loaded)).params
    output = output or Path(f"{loaded.name}.safetensors")
    may_write(output, force=force)
    state = read_state(checkpoint)
    try:
        params = from_published(state, {path: op.result.type.shape({}) for path, op in wanted.items()})
    except RunError as error:
        raise RunError(f"{checkpoint}: {error}") from error
    write_arrays(output, params)
    count = sum(value.size for value in params.values())
    click.echo(f"wrote {output}: {count:,} numbers in {len(params)} arrays, from {len(state)}", err=True)
