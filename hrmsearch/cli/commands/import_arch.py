"""`hrmsearch import-arch`: a published architecture file as a spec."""

from pathlib import Path

import click


@click.command("import-arch")
@click.argument("arch", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--task", default="sudoku", show_default=True, metavar="TASK", help="Its kind, or as a spec says it.")
@click.option("-o", "--output", metavar="SPEC", type=click.Path(path_type=Path), help="Write here instead of stdout.")
@click.option("--force", is_flag=True, help="Replace SPEC if it exists.")
def command(arch: Path, task: str, output: Path | None, force: bool) -> None:
    """Turn a published HRM or TRM architecture into a spec.

    FILE is a Hydra YAML of config/arch in sapientinc/HRM or SamsungSAILMontreal/TinyRecursiveModels. What it does not
    say, such as the learning rate, is what the published training script takes; what a spec cannot say is an error.
    """
    from hrmsearch.cli.files import may_write, write_text
    from hrmsearch.interop.arch import spec_of_arch
    from hrmsearch.lowering import lower
    from hrmsearch.spec.load import loads
    from hrmsearch.spec.source import parse, read

    if output is not None:
        may_write(output, force=force)
    chosen = parse(task, "--task").tree
    plain = isinstance(chosen, str) and "/" not in chosen
    text = spec_of_arch(read(arch), arch.stem, {"kind": chosen} if plain else chosen)
    lower(loads(text, str(output or arch.with_suffix(".spec.yaml"))))
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
