"""The tutorial runs: its files are written, its commands typed, and their outputs are what the page quotes."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"\$ hrmsearch (?P<words>.*?)(?:\s+# exits with (?P<code>\d+))?")


class Command(NamedTuple):
    """A command of the page, the exit code it says, and the output it quotes."""

    words: list[str]
    code: int
    quoted: list[str]


def commands(block: str) -> Iterator[Command]:
    """Yield the commands of a console block."""
    for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE):
        if part:
            first, *quoted = part.splitlines()
            found = COMMAND.fullmatch(first)
            assert found, f"not a command of hrmsearch: {first}"
            yield Command(found["words"].split(), int(found["code"] or 0), quoted)


def pattern(quoted: list[str]) -> str:
    """Return the expression that an output matches: a line `...` is any lines, `...` in a line any text.

    Two spaces or more are as many as a column takes.
    """

    def one(line: str) -> str:
        words = [re.sub(r"(\\ ){2,}", "  +", re.escape(part)) for part in line.split("...")]
        return r"[^\n]*".join(words) + r" *\n"

    return "".join(r"(?:.*\n)*?" if line == "..." else one(line) for line in quoted)


def typed(command: Command, folder: Path) -> None:
    """Run a command in a folder; check its exit code and its output."""
    ran = subprocess.run(
        [sys.executable, "-m", "hrmsearch", *command.words],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    output = ran.stdout + ran.stderr
    told = f"hrmsearch {' '.join(command.words)}\n{output}"
    assert ran.returncode == command.code, told
    assert re.fullmatch(pattern(command.quoted), output.rstrip("\n") + "\n"), told


def edited(change: str, file: Path) -> None:
    """Make the change that a diff block shows."""
    lines = change.splitlines()
    old, new = ("\n".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file.name} does not hold once: {old}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_every_command_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    file, ran = tmp_path, list[str]()
    for kind, block in FENCE.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "yaml":
            file = tmp_path / block.partition("\n")[0].removeprefix("# ")
            file.write_text(block, encoding="utf-8")
        elif kind == "diff":
            edited(block, file)
        else:
            for command in commands(block):
                typed(command, tmp_path)
                ran.append(command.words[0])
    assert {"validate", "check", "explain", "run", "sweep", "compare", "report", "reproduce"} == set(ran)
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
