"""A MariaDB server of our own from Debian's packages: private directory, unix socket only."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from tests.contract.postgres import ordinary_user


class Mariadb:
    """A server that can be killed and started again."""

    def __init__(self, top: Path, user: str | None) -> None:
        self.socket = top / "s"
        self._top, self._user = top, user
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def url(self, database: str) -> str:
        return f"mysql://restante:secret@/{database}?unix_socket={self.socket}"

    def new_database(self) -> str:
        """Create a database and return its URL."""
        return self.url(self.new_name())

    def new_name(self) -> str:
        self._databases += 1
        name = f"test{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def execute(self, *statements: str, database: str | None = None) -> None:
        connection = self._connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            connection.commit()
        finally:
            connection.close()

    def create(self) -> None:
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={self._top}/data",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=8M",
            ],
            check=True,
            capture_output=True,
            user=self._user,
            cwd="/",
        )
        self.start()
        self.execute(
            "CREATE USER restante@localhost IDENTIFIED BY 'secret'",
            "GRANT ALL ON *.* TO restante@localhost",
        )

    def start(self) -> None:
        program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        self._process = subprocess.Popen(
            [
                program,
                "--no-defaults",
                f"--datadir={self._top}/data",
                f"--socket={self.socket}",
                f"--pid-file={self._top}/pid",
                f"--tmpdir={self._top}",
                "--skip-networking",
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-buffer-pool-size=32M",
                "--innodb-log-file-size=8M",
                # Not what ours needs: an exact comparison must not depend on the defaults.
                "--character-set-server=latin1",
                "--collation-server=latin1_swedish_ci",
            ],
            user=self._user,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, "mariadbd did not start"
            assert time.monotonic() < deadline
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue

    def kill(self) -> None:
        """Stop at once, as a crash does: connections break."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def serving(self) -> list[int]:
        """Return the processes that serve connections."""
        assert self._process is not None
        return [self._process.pid]

    def _answers(self) -> bool:
        try:
            self._connect(None).close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _connect(self, database: str | None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, charset="utf8mb4"
        )


@contextmanager
def running_mariadb() -> Iterator[Mariadb]:
    """Give a server, or skip the test where Debian's mariadb-server is not installed."""
    if not (shutil.which("mariadb-install-db") and Path("/usr/sbin/mariadbd").exists()):
        pytest.skip("mariadb-server is not installed")
    user = None
    with tempfile.TemporaryDirectory(prefix="my") as name:
        if os.geteuid() == 0:  # mariadbd refuses to run as root
            user = ordinary_user("mysql", "nobody")
            shutil.chown(name, user)
        server = Mariadb(Path(name), user)
        try:
            server.create()
            yield server
        finally:
            server.kill()
