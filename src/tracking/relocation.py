"""Lets the files of runs be found after the folder of their SQLite database was moved or copied.

MLflow stores the absolute address of every run's files. This project puts them beside the database,
into `mlruns`, so where they are now can be told from where the database is now.
"""

import contextlib
import re
import sqlite3
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from unrolled.tracking.errors import StoreError

_FOLDER = "mlruns"  # of runs' files, by whatever path
# The columns of MLflow's tables that hold addresses of files.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(database: Path, address: str) -> None:
    """Put the present addresses of runs' files into a database that has come from another folder.

    All of them or none, in one transaction. The folder that it came from stays as it is: it may be
    another copy of this project.

    Args:
        database: the SQLite file of an MLflow store; there need not be one yet.
        address: of the folder beside it where its runs' files are now, as a URI.

    Raises:
        StoreError: if addresses have to be changed and cannot be.
    """
    if not database.exists() or not database.stat().st_size:
        return
    with contextlib.closing(
        sqlite3.connect(database, timeout=60, isolation_level=None)
    ) as connection:
        if not _left(connection, address):
            return
        try:
            _change(connection, address)
        except sqlite3.Error as error:
            raise StoreError(
                f"{database}: its folder was moved or copied, so the addresses of runs' files have "
                f"to be changed in it, which cannot be done ({error}). Expected a file, in a "
                "folder, that this user may write to; change the permissions, or name another "
                "with MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
            ) from error


def _change(connection: sqlite3.Connection, new: str) -> None:
    connection.execute("BEGIN IMMEDIATE")  # One process at a time; it is undone on any error.
    changed = {}
    for old in _left(connection, new):  # Another process may have been faster.
        for table, column in _columns(connection):
            changed[old, table] = _replace_beginning(connection, table, column, old, new)
        # Here earlier versions of this project stored where a sweep's runs have their checkpoints.
        projects = (str(_path(address).parent) for address in (old, new))
        _replace_beginning(connection, "tags", "value", *projects, "AND key = 'directory'")
    connection.execute("COMMIT")
    for (old, table), count in changed.items():
        if table == "runs" and count:
            print(
                f"{_path(new)}: the files of {count} runs, which were tracked in "
                f"{_path(old).parent}, are read from here now.",
                file=sys.stderr,
            )


def _left(connection: sqlite3.Connection, new: str) -> list[str]:
    """The addresses, as they are stored, of folders of runs' files that are now at `new`.

    Not of those that someone has chosen: the files of their runs are not there.
    """
    if ("experiments", "artifact_location") not in _columns(connection):
        return []
    found = connection.execute("SELECT DISTINCT artifact_location FROM experiments")
    matches = (re.fullmatch(rf"((?:file://)?/.*/{_FOLDER})(/\d+)?", row[0] or "") for row in found)
    addresses = dict.fromkeys(match[1] for match in matches if match)
    here = _path(new)
    return [
        address
        for address in addresses
        if not _is_same(_path(address), here) and _came_along(connection, address, here)
    ]


def _came_along(connection: sqlite3.Connection, address: str, here: Path) -> bool:
    """Whether files of an address's runs are in `here`, or it has no runs at all."""
    uris = connection.execute(
        "SELECT artifact_uri FROM runs WHERE substr(artifact_uri, 1, ?) = ?",
        (len(address) + 1, f"{address}/"),
    ).fetchall()
    return not uris or any((here / uri[len(address) + 1 :]).exists() for (uri,) in uris)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one folder, through links perhaps."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _path(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path) if "://" in address else address)


def _columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Those of _ADDRESSES that the database has."""
    return [
        (table, column)
        for table, column in _ADDRESSES
        if any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))
    ]


def _replace_beginning(
    connection: sqlite3.Connection, table: str, column: str, old: str, new: str, where: str = ""
) -> int:
    """Change what is `old`, or a path below it; returns how many there were."""
    changed = connection.execute(
        f"UPDATE {table} SET {column} = :new || substr({column}, :length + 1) "
        f"WHERE ({column} = :old OR substr({column}, 1, :length + 1) = :old || '/') {where}",
        {"new": new, "old": old, "length": len(old)},
    )
    return changed.rowcount
