"""Programs of Courier from Debian's packages, unpacked and never installed, in a room of their own.

Their paths are compiled in, so they run in a mount namespace where the unpacked tree lies over /usr
and /etc; that needs root. What they find in /etc/courier and /run/courier are directories of the
test. The packages are fetched once by `apt-get download`.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.courier import unpack
from tests.bench.peers import MissingError

_ENTER = """\
set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir={tree}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={tree}/etc:/etc /etc
mount --bind {work}/etc /etc/courier
mount -t tmpfs tmpfs /run
mkdir -p /run/courier
mount --bind {work}/run /run/courier
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
set +e
"""


class CourierRoom:
    """A place to run Courier's programs in.

    `config` is /etc/courier inside, `socket` where its clients look for authdaemond.
    """

    def __init__(self, tree: Path, work: Path) -> None:
        self._tree, self.work = tree, work
        self.config = work / "etc"
        self.socket = work / "run" / "authdaemon" / "socket"
        shutil.copytree(tree / "etc" / "courier", self.config)
        self.socket.parent.mkdir(parents=True)
        work.chmod(0o755)
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, script: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """Run a shell script inside, to its end."""
        return subprocess.run(
            self._words(script), input=stdin, capture_output=True, timeout=60, check=False
        )

    def ok(self, script: str, stdin: bytes = b"") -> bytes:
        done = self.run(script, stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def start(self, script: str) -> None:
        """Start a script inside that goes on until the room is closed."""
        with (self.work / "log").open("ab") as log:
            process = subprocess.Popen(
                self._words(script), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._processes.append(process)

    def wait_for(self, path: Path | None = None, port: int = 0) -> None:
        """Wait until somebody listens at a socket, or greets on a port of loopback."""
        deadline = time.monotonic() + 60
        while not _answers(path, port):
            assert all(process.poll() is None for process in self._processes), self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        return (self.work / "log").read_text(errors="replace")

    def close(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGKILL)  # takes the namespace along
            process.wait(30)

    def _words(self, script: str) -> list[str]:
        enter = _ENTER.format(tree=self._tree, work=self.work)
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", enter + script]


def _answers(path: Path | None, port: int) -> bool:
    try:
        if path is not None:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))
            return True
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            return bool(probe.recv(100))
    except OSError:
        return False


@contextmanager
def courier_room() -> Iterator[CourierRoom]:
    """Give a room, or skip the test with the reason why there is none."""
    if os.geteuid() != 0:
        pytest.skip("Courier's programs need root, for a mount namespace")
    if not shutil.which("unshare") or not shutil.which("dpkg"):
        pytest.skip("Courier's programs need unshare and dpkg")
    tree = _tree()
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        room = CourierRoom(tree, Path(name))
        probe = room.run("true")
        if probe.returncode:
            pytest.skip(f"no mount namespace here: {probe.stderr.decode().strip()[-200:]}")
        try:
            yield room
        finally:
            room.close()


def _tree() -> Path:
    """Return the unpacked packages; one test process fetches them, the others wait."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "restante-bench"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return unpack(cache)
        except MissingError as error:
            pytest.skip(str(error))


def authdaemond(module: str) -> str:
    """Return a script for a room: Debian's authdaemond with one module, until it is ended."""
    return f"""\
cat > /etc/courier/authdaemonrc <<'END'
authmodulelist="auth{module}"
authmodulelistorig="auth{module}"
daemons=2
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=2
DEFAULTOPTIONS=""
LOGGEROPTS=""
END
set -a
. /etc/courier/authdaemonrc
/usr/lib/courier/courier-authlib/authdaemond &
wait
"""
