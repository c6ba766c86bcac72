"""Updates the addresses of runs' files after the folder of their database was moved or copied.

MLflow stores the absolute address of every run's files. This project stores them in `mlruns` beside
the SQLite database, so that their current location follows from that of the database.
"""

import contextlib
import re
import sqlite3
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from unrolled.tracking.errors import StoreError

_FOLDER = "mlruns"  # The folder of the runs' files.
# The columns of MLflow's tables that contain addresses of files.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def update_addresses(database: Path, address: str) -> None:
    """Updates the addresses of runs' files in a database that was moved from another folder.

    All addresses are updated in one transaction. The old folder is not changed, because it may be
    another copy of this project.

    Args:
        database: the SQLite file of an MLflow store, which may not exist yet.
        address: URI of the folder beside it that contains the runs' files.

    Raises:
        StoreError: if addresses must be updated but cannot be.
    """
    if not database.exists() or not database.stat().st_size:
        return
    with contextlib.closing(
        sqlite3.connect(database, timeout=60, isolation_level=None)
    ) as connection:
        if not _outdated_addresses(connection, address):
            return
        try:
            _update(connection, address)
        except sqlite3.Error as error:
            raise StoreError(
                f"{database}: its folder was moved or copied, so the addresses of runs' files "
                f"must be updated, which failed ({error}). Expected a file and a folder that this "
                "user can write to. Change the permissions, or use another database with "
                "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
            ) from error


def _update(connection: sqlite3.Connection, new: str) -> None:
    connection.execute("BEGIN IMMEDIATE")  # One process at a time; rolled back on any error.
    changed = {}
    for old in _outdated_addresses(connection, new):  # Unless another process was faster.
        for table, column in _columns(connection):
            changed[old, table] = _replace_prefix(connection, table, column, old, new)
        # Earlier versions of this project stored the folder of a sweep's checkpoints here.
        before, after = (str(_path(address).parent) for address in (old, new))
        _replace_prefix(connection, "tags", "value", before, after, "AND key = 'directory'")
    connection.execute("COMMIT")
    for (old, table), count in changed.items():
        if table == "runs" and count:
            print(
                f"{_path(new)}: the files of {count} runs that were tracked in "
                f"{_path(old).parent} are now read from here.",
                file=sys.stderr,
            )


def _outdated_addresses(connection: sqlite3.Connection, new: str) -> list[str]:
    """Returns the stored addresses of folders of runs' files that are now at `new`.

    Folders that a user chose are excluded, because the files of their runs are not there.
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
        if not _is_same(_path(address), here) and _files_are_here(connection, address, here)
    ]


def _files_are_here(connection: sqlite3.Connection, address: str, here: Path) -> bool:
    """Whether files of an address's runs are in `here`, or it has no runs."""
    uris = connection.execute(
        "SELECT artifact_uri FROM runs WHERE substr(artifact_uri, 1, ?) = ?",
        (len(address) + 1, f"{address}/"),
    ).fetchall()
    return not uris or any((here / uri[len(address) + 1 :]).exists() for (uri,) in uris)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are the same folder, possibly through links."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _path(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path) if "://" in address else address)


def _columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Returns the columns of _ADDRESSES that exist in the database."""
    return [
        (table, column)
        for table, column in _ADDRESSES
        if any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))
    ]


def _replace_prefix(
    connection: sqlite3.Connection, table: str, column: str, old: str, new: str, where: str = ""
) -> int:
    """Replaces `old` in a column, also as a parent path; returns the number of changed rows."""
    changed = connection.execute(
        f"UPDATE {table} SET {column} = :new || substr({column}, :length + 1) "
        f"WHERE ({column} = :old OR substr({column}, 1, :length + 1) = :old || '/') {where}",
        {"new": new, "old": old, "length": len(old)},
    )
    return changed.rowcount
