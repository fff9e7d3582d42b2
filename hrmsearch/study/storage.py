"""Where a study lives: a journal file, or any storage that Optuna knows by URL."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hrmsearch.errors import RunError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

#: the journal's name in a study's folder
JOURNAL: Final = "journal.log"
#: the environment variable that names a storage where no option does
STORAGE: Final = "HRMSEARCH_STORAGE"
#: seconds that a writer waits for another one on SQLite
_PATIENCE: Final = 60


def open_storage(url: str) -> "BaseStorage":
    """Return the storage that a URL names: `postgresql+psycopg://...`, `sqlite:///...`, or the path of a journal file.

    Raises RunError where it cannot be reached or lacks a driver.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if "://" not in url:
        from hrmsearch.study.journal import open_journal

        return open_journal(Path(url))
    return _database(url)


def _database(url: str) -> "BaseStorage":
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
    from sqlalchemy.pool import NullPool

    # a worker talks to its storage for moments between trials of hours: no connection is worth keeping
    settings: dict[str, Any] = {"poolclass": NullPool}
    if url.startswith("sqlite"):
        settings["connect_args"] = {"timeout": _PATIENCE}
    try:
        return get_storage(RDBStorage(url, engine_kwargs=settings))
    except ImportError as error:
        hint = "; pip install 'hrmsearch[postgres]'" if url.startswith("postgresql") else ""
        raise RunError(f"{shown(url)}: its driver is not installed ({error}){hint}") from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise RunError(
            f"{shown(url)}: no storage that Optuna knows ({error}); such as postgresql+psycopg://HOST/DATABASE"
        ) from error
    except OperationalError as error:
        raise RunError(f"{shown(url)}: cannot be reached ({str(error.orig).strip()})") from error


def shown(url: str) -> str:
    """Return a URL without its password."""
    head, at, tail = url.rpartition("@")
    if not at or "://" not in head:
        return url
    scheme, _, login = head.partition("://")
    return f"{scheme}://{login.partition(':')[0]}@{tail}"
