"""The SQLite file of a store: made once and whole, however many processes ask for it first."""

import contextlib
import errno
import fcntl
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.store.db import utils
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from unrolled.tracking.errors import StoreError
from unrolled.tracking.store import artifacts_of

_ABSENT, _INCOMPLETE, _WHOLE = "absent", "incomplete", "whole"


def make_once(path: Path, uri: str) -> None:
    """Make a store's SQLite file if it is not there; check that MLflow can use it if it is.

    MLflow makes its tables in the file itself, in many steps. Another process that opens it
    meanwhile fails, and one that is killed leaves a file that can never be used. Here they are made
    under a lock in a draft, which then takes the file's place. What such a process has left is
    set aside, and the database is created again.

    Raises:
        StoreError: for a file that is no database of this version of MLflow, or cannot be made.
    """
    try:
        if _state(path) != _WHOLE:
            with _alone(path):
                state = _state(path)  # Another process may have made it meanwhile.
                if state == _INCOMPLETE:
                    _set_aside(path)
                if state != _WHOLE:
                    _make(path, uri)
        if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            raise PermissionError(errno.EACCES, "it, or its folder, is read-only", str(path))
        _check_version(path, uri)
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"{path}: the database cannot be opened ({error}). Expected a file, in a folder, that "
            "this user may read and write. Change the permissions, or name another with "
            "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: expected a SQLite database, got another kind of file ({error}). Move it "
            "away, or name another with MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
        ) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"{path}: the database cannot be used ({error.strerror}: {error.filename}). Name one "
            "in a folder that this user may write to: "
            "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
        ) from error


def _state(path: Path) -> str:
    """Whether the file has what MLflow writes last when it makes one, the default experiment."""
    if not path.exists() or path.stat().st_size == 0:
        return _ABSENT
    with contextlib.closing(_opened(path)) as database:
        tables = _tables(database)
        if not tables:
            return _ABSENT
        if "experiments" in tables and _any(database, "experiments"):
            return _WHOLE
        if not tables <= _mlflows_tables():
            raise StoreError(
                f"{path}: expected a database of MLflow, got one with the tables "
                f"{', '.join(sorted(tables)[:5])}. Name another with "
                "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
            )
    return _INCOMPLETE


def _opened(path: Path) -> sqlite3.Connection:
    # Not read-only: what a process that was killed has left half written is rolled back on opening.
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=20)


def _tables(database: sqlite3.Connection) -> set[str]:
    return {
        name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
    }


def _any(database: sqlite3.Connection, table: str) -> bool:
    return database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None


def _mlflows_tables() -> set[str]:
    extra = {"alembic_version", "sqlite_sequence"}
    found = set(utils.Base.metadata.tables) | set(utils.InitialBase.metadata.tables)
    # While it changes a table, alembic has a copy of it.
    return found | {f"_alembic_tmp_{name}" for name in found} | extra


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """A context that one process at a time is in; if that process dies, the next may enter."""
    lock = path.with_name(f"{path.name}.lock")
    while True:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # The process before removed its lock: whoever waited for that one has none.
            if not lock.exists() or os.fstat(file.fileno()).st_ino != lock.stat().st_ino:
                continue
            try:
                yield
            finally:
                lock.unlink()
            return


def _make(path: Path, uri: str) -> None:
    draft = path.with_name(f"{path.name}.draft")
    for leftover in path.parent.glob(f"{draft.name}*"):  # of a process that was killed
        leftover.unlink()
    # Not through `sqlalchemy.make_url`, which escapes the path: MLflow makes a folder of that name.
    file, mark, options = uri.partition("?")
    store = SqlAlchemyStore(f"{file}.draft{mark}{options}", artifacts_of(path))
    store._dispose_engine()
    draft.replace(path)


def _set_aside(path: Path) -> None:
    aside = path.with_name(f"{path.name}.incomplete")
    path.replace(aside)
    print(
        f"{path} was incomplete and without any run: the command that made it was interrupted. It "
        f"is created again; the old file is now {aside.name}.",
        file=sys.stderr,
    )


def _check_version(path: Path, uri: str) -> None:
    """MLflow itself upgrades some older files as it opens them, and two processes then clash."""
    with contextlib.closing(_opened(path)) as database:
        found = None
        if "alembic_version" in _tables(database):
            found = (
                database.execute("SELECT version_num FROM alembic_version").fetchone() or [None]
            )[0]
    expected = utils._get_latest_schema_revision()
    if found == expected:
        return
    scripts = ScriptDirectory.from_config(utils._get_alembic_config(db_url=""))
    try:
        known = found is None or scripts.get_revision(found) is not None
    except CommandError:
        known = False
    if known:
        raise StoreError(
            f"{path}: expected the tables of this version of MLflow ({expected}), got those of an "
            f"older one ({found}). Copy the file, then upgrade it: "
            f"{Path(sys.executable).parent / 'mlflow'} db upgrade {uri}"
        )
    raise StoreError(
        f"{path}: expected the tables of this version of MLflow ({expected}), got those of a newer "
        f"one ({found}). Use that version of MLflow, or name another database with "
        "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
    )
