"""Creates the SQLite file of a store exactly once, even with several concurrent processes."""

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

_ABSENT, _INCOMPLETE, _COMPLETE = "absent", "incomplete", "complete"


def create_once(path: Path, uri: str) -> None:
    """Creates a store's SQLite file if it is missing, and checks that MLflow can use it.

    MLflow creates its tables directly in the file, in many steps. Another process that opens the
    file meanwhile fails, and a killed process leaves an unusable file. Here, the tables are created
    in a draft under a lock, which then replaces the file. An unusable file is renamed, and the
    database is created again.

    Raises:
        StoreError: if the file is not a database of this version of MLflow, or cannot be created.
    """
    try:
        if _state(path) != _COMPLETE:
            with _locked(path):
                state = _state(path)  # Another process may have created it meanwhile.
                if state == _INCOMPLETE:
                    _rename_incomplete(path)
                if state != _COMPLETE:
                    _create(path, uri)
        if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            raise PermissionError(errno.EACCES, "it, or its folder, is read-only", str(path))
        _check_version(path, uri)
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"{path}: the database cannot be opened ({error}). Expected a file and a folder that "
            "this user can read and write. Change the permissions, or use another database with "
            "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: expected a SQLite database, got another kind of file ({error}). Move it, or "
            "use another database with MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
        ) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"{path}: the database cannot be used ({error.strerror}: {error.filename}). Use one "
            "in a folder that this user can write to: "
            "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
        ) from error


def _state(path: Path) -> str:
    """Returns whether the file is complete: MLflow creates the default experiment last."""
    if not path.exists() or path.stat().st_size == 0:
        return _ABSENT
    with contextlib.closing(_opened(path)) as database:
        tables = _tables(database)
        if not tables:
            return _ABSENT
        if "experiments" in tables and _has_rows(database, "experiments"):
            return _COMPLETE
        if not tables <= _mlflow_tables():
            raise StoreError(
                f"{path}: expected a database of MLflow, got one with the tables "
                f"{', '.join(sorted(tables)[:5])}. Use another database with "
                "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
            )
    return _INCOMPLETE


def _opened(path: Path) -> sqlite3.Connection:
    # Not read-only, because opening rolls back the unfinished transaction of a killed process.
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=20)


def _tables(database: sqlite3.Connection) -> set[str]:
    return {
        name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
    }


def _has_rows(database: sqlite3.Connection, table: str) -> bool:
    return database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None


def _mlflow_tables() -> set[str]:
    extra = {"alembic_version", "sqlite_sequence"}
    found = set(utils.Base.metadata.tables) | set(utils.InitialBase.metadata.tables)
    # alembic copies a table while it changes it.
    return found | {f"_alembic_tmp_{name}" for name in found} | extra


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """A context for one process at a time; if that process is killed, the lock is released."""
    lock = path.with_name(f"{path.name}.lock")
    while True:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # If the previous process removed the file, this lock is on a deleted file.
            if not lock.exists() or os.fstat(file.fileno()).st_ino != lock.stat().st_ino:
                continue
            try:
                yield
            finally:
                lock.unlink()
            return


def _create(path: Path, uri: str) -> None:
    draft = path.with_name(f"{path.name}.draft")
    for leftover in path.parent.glob(f"{draft.name}*"):  # Left by a killed process.
        leftover.unlink()
    # Not `sqlalchemy.make_url`, which escapes the path, so that MLflow would create such a folder.
    file, separator, options = uri.partition("?")
    store = SqlAlchemyStore(f"{file}.draft{separator}{options}", artifacts_of(path))
    store._dispose_engine()
    draft.replace(path)


def _rename_incomplete(path: Path) -> None:
    """Renames an incomplete database, and reports it."""
    renamed = path.with_name(f"{path.name}.incomplete")
    path.replace(renamed)
    print(
        f"{path} was incomplete and without any run, because the command that created it was "
        f"interrupted. It is created again; the old file is now {renamed.name}.",
        file=sys.stderr,
    )


def _check_version(path: Path, uri: str) -> None:
    """Rejects a file of another version, whose automatic upgrade by MLflow is not process-safe."""
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
            f"older one ({found}). Back up the file, then upgrade it: "
            f"{Path(sys.executable).parent / 'mlflow'} db upgrade {uri}"
        )
    raise StoreError(
        f"{path}: expected the tables of this version of MLflow ({expected}), got those of a newer "
        f"one ({found}). Use that version of MLflow, or another database with "
        "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
    )
