"""`hrmsearch explain --algebra`: the equations of a spec's H/L kernels, their eigenvalues and their bound."""

import click


def explain_algebra(name: str, overrides: tuple[str, ...], *, latex: bool, as_json: bool) -> None:
    """Print what is known of the kernels of a spec, for people, as LaTeX, or as JSON."""
    from hrmsearch import algebra
    from hrmsearch.cli.terminal import print_json, print_table
    from hrmsearch.lowering import lower
    from hrmsearch.report.algebra import eigenvalue_table, explain_kernels, heading, kernel_record, verdict
    from hrmsearch.spec.load import load

    spec = load(name, overrides)
    seed = spec.seeds[0]
    explained = explain_kernels(spec, lower(spec), seed)
    if as_json:
        print_json({"name": spec.name, "seed": seed, "kernels": list(map(kernel_record, explained))})
        return
    for one in explained:
        if latex:
            click.echo(f"% {heading(one)}\n{algebra.latex(one.sections)}")
        else:
            click.echo(f"{heading(one)}\n\n{algebra.text(one.sections)}{verdict(one)}\n")
    if not latex:
        print_table(eigenvalue_table(explained, seed))
