"""A PostgreSQL server of our own from Debian's packages: private directory, unix socket only."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def find_programs() -> Path | None:
    """Return the directory of initdb and postgres of the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


class Postgres:
    """A server that can be killed and started again."""

    def __init__(self, programs: Path, top: Path, user: str | None) -> None:
        self._programs, self._top, self._user = programs, top, user
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def url(self, database: str) -> str:
        return f"postgresql://restante@/{database}?host={self._top}"

    def new_database(self) -> str:
        """Create a database and return its URL."""
        self._databases += 1
        name = f"test{self._databases}"
        self._run("createdb", "-h", str(self._top), "-U", "restante", name)
        return self.url(name)

    def create(self) -> None:
        self._run("initdb", "-D", str(self._top / "data"), "-U", "restante", "-A", "trust", "-N")

    def start(self) -> None:
        settings = ("listen_addresses=", "fsync=off", f"unix_socket_directories={self._top}")
        words = [word for setting in settings for word in ("-c", setting)]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._top / "data", *words],
            user=self._user,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        deadline = time.monotonic() + 30
        ready: list[str | Path] = [self._programs / "pg_isready", "-q", "-h", self._top]
        while subprocess.run(ready, check=False).returncode != 0:
            assert self._process.poll() is None, "postgres did not start"
            assert time.monotonic() < deadline
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue

    def kill(self) -> None:
        """Stop at once, as a crash does: connections break."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def serving(self) -> list[int]:
        """Return the processes that serve connections, and the helpers."""
        assert self._process is not None
        pid = self._process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [self._programs / program, *words],
            check=True,
            capture_output=True,
            user=self._user,
            cwd="/",
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Give a server, or skip the test where Debian's postgresql is not installed."""
    programs = find_programs()
    if programs is None:
        pytest.skip("postgresql is not installed")
    user = None
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        if os.geteuid() == 0:  # postgres refuses to run as root
            user = ordinary_user("postgres", "nobody")
            shutil.chown(name, user)
        server = Postgres(programs, Path(name), user)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.kill()


def ordinary_user(*names: str) -> str:
    """Return the first of the names that this machine has, or skip the test."""
    for name in names:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("no ordinary user to run a server as")
