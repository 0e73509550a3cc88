"""The auth service as a process of its own, as `restante all` and containers start it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START = "import sys; from services.auth.main import main; sys.exit(main())"
FAST = {
    "RESTANTE_AUTH_ARGON2_TIME": "1",
    "RESTANTE_AUTH_ARGON2_MEMORY_KIB": "64",
    "RESTANTE_AUTH_FAILURE_SECONDS": "0",
    "RESTANTE_AUTH_THROTTLE_BASE_SECONDS": "0",
    "RESTANTE_AUTH_HEALTH_LISTEN": "",
    "RESTANTE_AUTH_MAIL_UID": "1000",
    "RESTANTE_AUTH_MAIL_GID": "1000",
}


class AuthProcess:
    """A running process; `endpoints` are its real addresses."""

    def __init__(self, process: "subprocess.Popen[bytes]", data: Path) -> None:
        self.process, self.data = process, data

    @property
    def target(self) -> str:
        return f"unix:{self.data}/run/auth.sock"

    @property
    def endpoints(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.data / "run/auth.json").read_text())["endpoints"]
        return found

    def log(self) -> str:
        return (self.data / "log").read_text()


def environment(data: Path, **extra: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RESTANTE_")}
    return {**clean, **FAST, "RESTANTE_DATA": str(data), **extra}


@contextmanager
def auth_process(data: Path, *, wrapper: Sequence[str] = (), **extra: str) -> Iterator[AuthProcess]:
    """Run the service (by `wrapper`, a command) until it is ready; end it by SIGTERM."""
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(
            [*wrapper, sys.executable, "-c", START], env=environment(data, **extra), stderr=log
        )
    try:
        _wait_ready(process, data)
        yield AuthProcess(process, data)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: "subprocess.Popen[bytes]", data: Path) -> None:
    """Wait for the line "ready"; the log is the only thing every configuration has."""
    deadline = time.monotonic() + 30
    while " ready " not in (data / "log").read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"auth did not start:\n{(data / 'log').read_text()}")
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
