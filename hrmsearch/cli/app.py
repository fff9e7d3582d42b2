"""The command group: finds commands by file name and turns exceptions into messages and exit codes."""

from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import click

from hrmsearch.cli import commands
from hrmsearch.cli.failure import as_failure


class Commands(click.Group):
    """A group whose commands are the modules of `commands/`, with hyphens for underscores; each defines `command`.

    Modules load one at a time, when a command runs or the list of all is printed, and import nothing heavy at the top.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return sorted(module.name.replace("_", "-") for module in iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name, loading its module."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return import_module(f"{commands.__name__}.{cmd_name.replace('-', '_')}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name; a misspelt one is answered with the nearest."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            near = get_close_matches(args[0], names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(names)}"
            raise click.UsageError(f"no such command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what a user can mend becomes one message, everything else is a bug and passes through."""
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            failure = as_failure(error)
            if failure is None:
                raise
            raise failure from error


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hrmsearch", message="%(prog)s %(version)s")
def app() -> None:
    """Compile, check, train and compare small recursive sequence models.

    SPEC is a YAML file or the name of a shipped spec; `hrmsearch specs` lists those.
    """
