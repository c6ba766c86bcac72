"""A PostgreSQL server on this machine, for `make server`, by the programs of PostgreSQL."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from unrolled.console.refusals import RefusedError
from unrolled.system.processes import is_running

USER = "unrolled"  # Of the database, which also has this name.
_ACCOUNT = "postgres"  # The account that PostgreSQL runs as if this process is of root.
_PACKAGED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")  # Debian; Red Hat.


class Postgres:
    """The server of one folder. It listens on 127.0.0.1 only.

    Args:
        folder: where its files are, or will be.
        password: of its user `USER`.
        connections: the most that it accepts at once.

    Attributes:
        log: the file of its messages.

    Raises:
        RefusedError: if PostgreSQL is not installed, or cannot run as the current user.
    """

    def __init__(self, folder: Path, password: str, connections: int) -> None:
        self._folder = folder
        self._password = password
        self._connections = connections
        self.log = folder / "log.txt"
        self._process = 0
        self._programs = _programs()
        # PostgreSQL refuses to run as root.
        self._account = _ACCOUNT if os.geteuid() == 0 else None
        if self._account and not _exists(self._account):
            raise RefusedError(
                f"PostgreSQL does not run as root, and there is no user {_ACCOUNT!r} to run it as. "
                f"Create it with adduser --system {_ACCOUNT}, or run make server as another user."
            )

    def start(self) -> str:
        """Starts the server, or finds it running; returns the URI of its database.

        A server that runs was left by a `make server` that was killed.

        Raises:
            RefusedError: if it cannot start.
        """
        if not self._folder.exists():
            self._create()
        if self._run("pg_ctl", "status").returncode != 0:
            options = f"-h 127.0.0.1 -p {_free_port()} -k '' -N {self._connections}"
            started = self._run(
                "pg_ctl", "start", "--wait", f"--log={self.log.name}", f"--options={options}"
            )
            if started.returncode != 0:
                said = self.log.read_text(errors="replace") if self.log.exists() else started.stderr
                raise RefusedError(
                    f"PostgreSQL did not start. The end of {self.log}:\n{said.strip()[-1000:]}"
                )
        process, _, _, port, *_ = (self._folder / "postmaster.pid").read_text().splitlines()
        self._process = int(process)
        return f"postgresql+psycopg2://{USER}:{self._password}@127.0.0.1:{port}/postgres"

    def is_running(self) -> bool:
        """Whether the server that `start` returned runs."""
        return is_running(self._process)

    def stop(self) -> None:
        """Stops the server, and waits for it."""
        self._run("pg_ctl", "stop", "--mode=fast", "--wait")

    def _create(self) -> None:
        """Creates the database beside its folder, which exists only once that is complete."""
        draft = self._folder.with_name(f"{self._folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)  # Left by a killed process.
        draft.mkdir(mode=0o700, parents=True)
        with tempfile.NamedTemporaryFile("w") as password:  # Only its owner can read it.
            password.write(self._password)
            password.flush()
            if self._account:
                shutil.chown(draft, self._account)
                shutil.chown(password.name, self._account)
                self._check_access(draft)
            created = self._run(
                "initdb",
                f"--pgdata={draft}",
                f"--username={USER}",
                f"--pwfile={password.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                cwd=Path("/"),  # Which any user can enter.
            )
        if created.returncode != 0:
            raise RefusedError(
                f"PostgreSQL could not create a database in {draft}: "
                f"{(created.stderr or created.stdout).strip()[-1000:]}"
            )
        draft.rename(self._folder)

    def _check_access(self, folder: Path) -> None:
        found = subprocess.run(["test", "-w", folder], user=self._account, cwd="/")
        if found.returncode != 0:
            raise RefusedError(
                f"{folder.parent}: expected a folder that the user {self._account!r} can enter, "
                "because PostgreSQL does not run as root. Use another one, such as make server "
                "folder=/var/lib/unrolled, or run make server as another user."
            )

    def _run(
        self, program: str, *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        # Its output to files: the server would keep a pipe open.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            command = [str(self._programs / program), *arguments]
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                # pg_ctl gets no path, in which the shell that it uses would replace a "$".
                cwd=cwd or self._folder,
                env={**os.environ, "PGDATA": "."} if cwd is None else None,
                user=self._account,
                group=self._account and _ACCOUNT,
                extra_groups=self._account and [],
                # Ctrl-C is for the process that stops this one.
                start_new_session=True,
            )
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(
                command, done.returncode, output.read(), errors.read()
            )


def _programs() -> Path:
    """Returns the folder of PostgreSQL's programs."""
    on_path = shutil.which("pg_ctl")
    found = [Path(on_path).resolve().parent] if on_path else []
    for pattern in _PACKAGED:
        folders = Path("/").glob(pattern[1:])
        found += sorted(folders, key=_version, reverse=True)
    for folder in found:
        if (folder / "pg_ctl").exists() and (folder / "initdb").exists():
            return folder
    raise RefusedError(
        "make server needs PostgreSQL, and found no pg_ctl and initdb on PATH or in "
        f"{' or '.join(_PACKAGED)}. Install it: the package is postgresql on Debian and Ubuntu, "
        "postgresql-server on Fedora and Red Hat, postgresql in Homebrew."
    )


def _version(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[0]) if numbers else 0


def _exists(account: str) -> bool:
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
