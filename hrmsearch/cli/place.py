"""Which study a command means: a name with its storage, or a folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from hrmsearch.errors import RunError
from hrmsearch.study.storage import JOURNAL

if TYPE_CHECKING:
    from hrmsearch.study.board import Board


def place(study: str, storage: str | None) -> tuple[str, str]:
    """Return a study's name and its storage's URL; without a storage it is a journal in the study's folder.

    Raises RunError where there is none.
    """
    if storage is not None:
        return study, storage
    for folder in (Path(study), Path("runs") / study):
        if (folder / JOURNAL).is_file():
            return folder.absolute().name, str(folder / JOURNAL)
    raise RunError(f"{study}: no study has its journal there or in runs/{study}; name its storage by --storage")


def board_at(study: str, storage: str | None) -> "Board":
    """Return the board of a study; raises RunError where there is none, or not all of it yet."""
    from hrmsearch.study.board import join
    from hrmsearch.study.storage import open_storage

    name, url = place(study, storage)
    board = join(open_storage(url), name)
    if board is None:
        raise RunError(f"study {name}: is only being made; look again in a moment")
    return board
