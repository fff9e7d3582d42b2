"""The command group: quick, lazy, and every failure is one message with an exit code."""

import errno
import os
import resource
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hrmsearch.cli import app as module
from hrmsearch.cli import commands
from hrmsearch.cli.app import app
from hrmsearch.errors import DataError, DivergedError, Place, Problem, SpecError

HEAVY = ("pydantic", "numpy", "rich", "ruamel", "sympy", "scipy", "optuna", "hypothesis", "matplotlib", "torch")
Failing = Callable[[BaseException], None]
COMMANDS = sorted(path.stem.replace("_", "-") for path in Path(commands.__path__[0]).glob("[!_]*.py"))
PROMISED = {"run", "eval", "sample", "compile", "explain", "validate", "schema", "data", "specs", "doctor", "reproduce"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def cpu_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert python(*arguments).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Return what makes the group's only command, `fail`, raise an exception."""

    def fail_with(error: BaseException) -> None:
        @click.command("fail")
        def command() -> None:
            raise error

        def get(self: click.Group, ctx: click.Context, cmd_name: str) -> click.Command:
            return command

        def names(self: click.Group, ctx: click.Context) -> list[str]:
            return ["fail"]

        monkeypatch.setattr(module.Commands, "get_command", get)
        monkeypatch.setattr(module.Commands, "list_commands", names)

    return fail_with


def test_help_takes_less_than_three_tenths_of_a_cpu_second() -> None:
    assert statistics.median(cpu_seconds("-m", "hrmsearch", "--help") for _ in range(5)) < 0.3


def test_help_loads_no_heavy_module() -> None:
    done = python(
        "-c", "import sys; from hrmsearch.cli.app import app; app(['-h'], standalone_mode=False); print(*sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & set(HEAVY)


def test_help_lists_every_command_with_a_whole_sentence() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    listed = dict(line.split(maxsplit=1) for line in done.output.partition("Commands:\n")[2].splitlines())
    assert list(listed) == COMMANDS
    assert set(listed) >= PROMISED
    assert all(text.endswith(".") and not text.endswith("...") for text in listed.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: app {name} ")


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    done = python("-m", "hrmsearch", "--version")
    assert done.stdout == f"hrmsearch {version('hrmsearch')}\n"


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    done = CliRunner().invoke(app, ["exlpain"])
    assert done.exit_code == 2
    assert done.stderr.endswith("Error: no such command 'exlpain'; did you mean 'explain'?\n")


def test_a_foreign_command_is_answered_with_all() -> None:
    done = CliRunner().invoke(app, ["xyz"])
    assert done.exit_code == 2
    assert f"no such command 'xyz'; the commands are {', '.join(COMMANDS)}\n" in done.stderr


def test_a_misspelt_option_is_answered_with_the_nearest() -> None:
    done = CliRunner().invoke(app, ["run", "hrm", "--bakend", "torch"])
    assert done.exit_code == 2
    assert "o such option" in done.stderr
    assert "--backend" in done.stderr


def test_an_error_is_one_line_and_exits_with_2(failing: Failing) -> None:
    failing(DataError("corpus.txt: the file is empty"))
    done = CliRunner().invoke(app, ["fail"])
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", "hrmsearch: corpus.txt: the file is empty\n")


def test_a_spec_error_stands_as_it_is(failing: Failing) -> None:
    failing(SpecError([Problem(Place("x.yaml", 3, 5), "model.dim", "expected an integer")]))
    done = CliRunner().invoke(app, ["fail"])
    assert (done.exit_code, done.stderr) == (2, "x.yaml:3:5: model.dim: expected an integer\n")


def test_divergence_exits_with_3(failing: Failing) -> None:
    failing(DivergedError("seed 0: the loss is NaN at step 7"))
    assert CliRunner().invoke(app, ["fail"]).exit_code == 3


def test_an_interrupt_exits_with_130_and_says_how_to_go_on(failing: Failing) -> None:
    failing(KeyboardInterrupt("stopped after step 7; give the same command with --resume"))
    done = CliRunner().invoke(app, ["fail"])
    assert done.exit_code == 130
    assert done.stderr == "\nhrmsearch: stopped after step 7; give the same command with --resume\n"


def test_a_termination_exits_as_a_shell_reports_it(failing: Failing) -> None:
    error = KeyboardInterrupt("stopped")
    vars(error)["signal"] = signal.SIGTERM
    failing(error)
    assert CliRunner().invoke(app, ["fail"]).exit_code == 143


def test_a_full_disk_is_no_bug(failing: Failing) -> None:
    failing(OSError(errno.ENOSPC, "No space left on device", "runs/x"))
    done = CliRunner().invoke(app, ["fail"])
    assert (done.exit_code, done.stderr) == (2, "hrmsearch: runs/x: No space left on device\n")


def test_a_bug_shows_its_traceback_and_asks_for_a_report() -> None:
    broken = "from hrmsearch.cli.app import Commands; Commands.list_commands = lambda *_: 1 / 0"
    done = python("-c", f"{broken}; from hrmsearch.cli import main; main()")
    assert done.returncode == 70
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.endswith("this is a bug. Please report it, with the lines above and the command.\n")


def test_a_reader_that_goes_away_is_no_news() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        command = [sys.executable, "-m", "hrmsearch", "schema"]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")
