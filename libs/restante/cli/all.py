"""`restante all`, which `make run` starts: the whole system on one machine.

It prepares the data directory (mail volume, certificate), starts the five services as containers
would, makes the demo account through the admin API, and shows where everything is. It is no
service itself and holds no state: what it does could be typed by hand.

Order and ends: a signal at any time drains and stops everything, exit code 0. What cannot start
is one line on stderr and exit code 1.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer

from restante.cli import demo
from restante.cli.cert import default_hosts, make_certificate, read_certificate
from restante.cli.endpoints import SERVICES, endpoints
from restante.model import ErrorKind, MailError
from restante.runtime.notify import Notifier
from restante.runtime.runfile import RunFile
from restante.runtime.settings import CommonSettings, load
from restante.runtime.supervisor import StartError, Supervisor, python_module
from restante.store.volume import SENTINEL, create_volume

app = typer.Typer()

_START_SECONDS: Final = 30.0
_MAX_SOCKET_PATH: Final = 107  # bytes of sockaddr_un.sun_path without the final NUL
_STOP_EXTRA: Final = 8.0  # seconds beyond drain_seconds


@app.command(name="all")
def run_all() -> None:
    """Start the whole system on this machine, with a demo account, until Ctrl-C."""
    settings = load(CommonSettings)
    os.umask(0o077)
    try:
        with _alone(settings):
            _prepare(settings)
            code = asyncio.run(_Run(settings).run())
    except (OSError, MailError) as error:
        code = _fail(error.text if isinstance(error, MailError) else str(error))
    raise typer.Exit(code)


def _fail(text: str) -> int:
    sys.stderr.write(f"restante: {text}\n")
    return 1


@contextmanager
def _alone(settings: CommonSettings) -> Iterator[None]:
    """Hold the data directory: a second system on it would share sockets and run files."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.run_dir.mkdir(mode=0o700, exist_ok=True)
    with (settings.run_dir / "all.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"Restante is running on {settings.data} already") from None
        yield


def _prepare(settings: CommonSettings) -> None:
    """Make the mail volume and the certificate, where they are ours to make."""
    if len(os.fsencode(settings.run_dir / "auth.sock")) > _MAX_SOCKET_PATH:
        room = _MAX_SOCKET_PATH - len("/run/auth.sock")
        raise MailError(
            ErrorKind.CANNOT,
            f"the path of RESTANTE_DATA is too long for a socket: over {room} bytes",
        )
    own_volume = settings.mail_root == settings.data / "mail"
    if own_volume and not (settings.mail_root / SENTINEL).exists():
        create_volume(settings.mail_root)
    own_certificate = not {"tls_certificate", "tls_key"} & settings.model_fields_set
    if own_certificate and not (settings.tls_certificate.exists() or settings.tls_key.exists()):
        make_certificate(settings.tls_certificate, settings.tls_key, default_hosts())


class _Run:
    """One run of the system inside an event loop."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._notifier = Notifier.from_environment()
        self._supervisor = Supervisor(self._show_line, os.environ)
        self._held: list[str] | None = []  # lines of children until the start is decided
        self._muted = False
        self._stop = asyncio.Event()
        self._color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    async def run(self) -> int:
        """Start, wait for a signal, stop; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        run_dir = self._settings.run_dir
        run_file = RunFile("all", os.getpid(), 1, time.time(), {})
        run_file.write(run_dir)
        if self._notifier.fd >= 0:
            loop.add_reader(self._notifier.fd, self._on_supervisor_gone)
        stopped = loop.create_task(self._stop.wait())
        starting = loop.create_task(self._start())
        code = 0
        try:
            await asyncio.wait({stopped, starting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopped
            self._say(
                "stopping: sessions get "
                f"{self._settings.drain_seconds:g} s to end (Ctrl-C again: at once)"
            )
        except StartError as failure:
            self._muted = True  # the other children's lines would only hide the reason
            for line in failure.tail:
                sys.stderr.write(f"    {line}\n")
            self._notifier.failed(failure.text)
            code = _fail(failure.text)
        except (MailError, OSError) as error:
            self._release_lines()
            code = _fail(error.text if isinstance(error, MailError) else str(error))
        finally:
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, StartError, MailError, OSError):
                await starting
            self._release_lines()
            seconds = self._settings.drain_seconds + _STOP_EXTRA
            await self._supervisor.stop(seconds, last=("auth",))
            run_file.remove(run_dir)
        if code == 0:
            self._say("stopped")
        return code

    async def _start(self) -> None:
        self._say(f"starting {', '.join(SERVICES)} on {self._settings.data}")
        await self._supervisor.start(
            {name: python_module("services", name) for name in SERVICES}, _START_SECONDS
        )
        run_dir = self._settings.run_dir
        target = self._settings.auth_target
        account: demo.Demo | None = None
        trouble = ""
        try:
            account = await asyncio.to_thread(demo.prepare, run_dir, target)
            if account.created:
                await asyncio.to_thread(demo.welcome, run_dir)
        except MailError as error:
            trouble = error.text
        self._release_lines()
        if self._settings.log_format == "json":
            self._write(_summary_json(self._settings, account, trouble))
        else:
            self._write(_summary(self._settings, account))
        if trouble:
            self._say(f"{'no ' if account is None else ''}demo account: {trouble}")
        self._notifier.ready()

    # --- output -----------------------------------------------------------------------------

    def _show_line(self, name: str, line: str) -> None:
        if self._settings.log_format != "json":
            mark = f"{name:<8} |"
            line = f"\x1b[36m{mark}\x1b[0m {line}" if self._color else f"{mark} {line}"
        if self._muted:
            return
        if self._held is not None:
            self._held.append(line)
        else:
            self._write(line)

    def _release_lines(self) -> None:
        if self._held and not self._muted:
            self._write("\n".join(self._held))
        self._held = None

    def _say(self, text: str) -> None:
        if self._settings.log_format != "json":
            self._write(f"restante: {text}")

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except OSError:  # nobody reads any more, as with `restante all | head`
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the life
            self._stop.set()

    # --- signals ----------------------------------------------------------------------------

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._supervisor.hurry()
        self._stop.set()

    def _on_supervisor_gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self._notifier.fd)
        self._stop.set()


def _summary(settings: CommonSettings, account: demo.Demo | None) -> str:
    """Return what a new user needs to see."""
    found = endpoints(settings.run_dir)
    rows = [(e.name, e.shown, e.note) for e in found]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = ["", "Restante is running."]
    lines += [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    with contextlib.suppress(OSError, ValueError):
        facts = read_certificate(settings.tls_certificate)
        kind = "self-signed, " if facts.self_signed else ""
        until = f"{kind}until {facts.not_after:%Y-%m-%d}"
        lines += ["", f"  Certificate  {_short(settings.tls_certificate)} ({until})"]
        lines += [f"  SHA-256      {facts.sha256}"]
    if account is not None:
        lines += ["", f"  Account      {account.address}", f"  Password     {account.password}"]
    lines += ["", "Ctrl-C stops everything; the data stay.", ""]
    return "\n".join(lines)


def _summary_json(settings: CommonSettings, account: demo.Demo | None, trouble: str) -> str:
    """Return the same as one line among the services' JSON lines."""
    found: dict[str, object] = {
        "event": "running",
        "process": "all",
        "endpoints": {e.name: str(e.address) for e in endpoints(settings.run_dir)},
    }
    with contextlib.suppress(OSError, ValueError):
        found["certificate_sha256"] = read_certificate(settings.tls_certificate).sha256
    if account is not None:
        found |= {"demo_account": account.address, "demo_password": account.password}
    if trouble:
        found["demo_trouble"] = trouble
    return json.dumps(found)


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
