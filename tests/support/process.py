"""One service as a real process, as a container starts it.

Every address defaults to a free port of 127.0.0.1; the real ones are read from the run file.
Waiting is by events: the readiness pipe, the process's end.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from restante.runtime import runfile
from restante.runtime.address import ListenAddress

ROOT = Path(__file__).resolve().parents[2]

_FREE_PORTS = {
    "auth": ("HEALTH_LISTEN",),
    "delivery": ("LMTP_LISTEN", "HTTP_LISTEN", "HEALTH_LISTEN"),
    "pop3": ("LISTEN", "TLS_LISTEN", "HEALTH_LISTEN"),
    "imap": ("LISTEN", "TLS_LISTEN", "HEALTH_LISTEN"),
    "webmail": ("LISTEN", "HEALTH_LISTEN"),
}


class StartError(Exception):
    """The service did not get ready; the text holds its exit code and log."""


def clean_environment(data: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without RESTANTE_*, with `data`, then `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RESTANTE_")}
    return {**kept, "RESTANTE_DATA": str(data), **extra}


class ServiceProcess:
    """A service of `command` (default: python -m services NAME) on `data`."""

    def __init__(
        self,
        name: str,
        data: Path,
        env: Mapping[str, str] | None = None,
        *,
        command: tuple[str, ...] | None = None,
        log_path: Path | None = None,
        root: Path = ROOT,
    ) -> None:
        """`root`: the tree whose code runs; another one is of another release."""
        self.name = name
        self.data = data
        self.root = root
        free = {
            f"RESTANTE_{name.upper()}_{field}": "127.0.0.1:0" for field in _FREE_PORTS.get(name, ())
        }
        code = {} if root == ROOT else {"PYTHONPATH": f"{root}{os.pathsep}{root / 'libs'}"}
        self.env = clean_environment(data, {"RESTANTE_WORKERS": "1", **code, **free, **(env or {})})
        self.command = command or (sys.executable, "-m", "services", name)
        self.log_path = log_path or data / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._ready: socket.socket | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout: float = 30) -> Self:
        """Start and wait until it is ready. Raises StartError."""
        self.spawn()
        return self.wait_ready(timeout)

    def spawn(self) -> None:
        """Start without waiting."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._ready, theirs = socket.socketpair()
        with theirs, self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**self.env, "RESTANTE_READY_FD": str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, timeout: float = 30) -> Self:
        """Wait until a spawned service accepts connections. Raises StartError."""
        assert self._ready is not None
        assert self.process is not None
        poll = select.poll()  # select() knows no descriptor above 1023
        poll.register(self._ready, select.POLLIN)
        readable = poll.poll(timeout * 1000)
        if readable and self._ready.recv(64).startswith(b"ready"):
            return self
        if not readable:
            self.kill()
            raise StartError(f"{self.name} is not ready after {timeout} s:\n{self.log()}")
        code = self.process.wait(timeout=10)
        raise StartError(f"{self.name} ended with code {code}:\n{self.log()}")

    @property
    def pid(self) -> int:
        """The parent process."""
        assert self.process is not None
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """The worker processes now."""
        return [
            int(word)
            for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        ]

    def endpoint(self, field: str = "listen") -> ListenAddress:
        """The real address of a setting such as "tls_listen"."""
        run = runfile.read(self.data / "run", self.name)
        assert run is not None, f"{self.name} is not running:\n{self.log()}"
        return run.endpoint(field)

    def address(self, field: str = "listen") -> tuple[str, int]:
        """The real (host, port) of a setting such as "tls_listen"."""
        return self.endpoint(field).target

    def http(self, path: str, field: str = "health_listen") -> tuple[int, str]:
        """GET a path of an HTTP endpoint; return (status, text)."""
        host, port = self.address(field)
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def log(self) -> str:
        """Everything the service has printed."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal to the parent process."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = 20) -> int:
        """Wait for the end; return the exit code."""
        assert self.process is not None
        return self.process.wait(timeout=timeout)

    def stop(self, timeout: float = 20) -> int:
        """Let it drain and end; return the exit code. Kills what does not end in time."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._close()

    def kill(self) -> None:
        """kill -9 for the parent and its workers, as a machine that stops."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)
        self._close()

    def _close(self) -> None:
        if self._ready is not None:
            self._ready.close()
            self._ready = None
