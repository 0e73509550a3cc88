"""Debian's exim4 with the deployed configuration, as the user that it runs as in its container.

Each exim has a loopback address, ports, queue and log pipes of its own. The log is read as it is
written, so that tests wait for its lines and never for the clock.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients.programs import need
from tests.support.process import ROOT

DEPLOY = ROOT / "deploy/exim"
USER = "Debian-exim"
_PATIENCE = 30.0  # seconds, against hangs only

_OUTSIDE = """\
exim_user = Debian-exim
exim_group = Debian-exim
primary_hostname = outside.test
spool_directory = {top}/spool
log_file_path = {top}/log/%slog
pid_file_path = {top}/exim.pid
notifier_socket =
keep_environment =
host_lookup =
tls_advertise_hosts = {tls}
tls_certificate = {top}/tls.crt
tls_privatekey = {top}/tls.key
local_interfaces = {address}
daemon_smtp_ports = {port}
acl_smtp_rcpt = rcpt
acl_smtp_dkim =
begin acl
rcpt:
  deny local_parts = nobody
       message = 550 5.1.1 no such user outside
  defer condition = ${{if exists{{{top}/away}}}}
  deny condition = ${{if and{{{{exists{{{top}/login}}}}{{!def:authenticated_id}}}}}}
       message = 550 5.7.1 log in first
  accept control = dkim_disable_verify
begin routers
all:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  directory = {top}/mail
  create_directory
  maildir_format
  envelope_to_add
  return_path_add
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_prompts = :
  server_condition=${{if and{{{{eq{{$auth2}}{{us@outside.test}}}}{{eq{{$auth3}}{{a^b sesame}}}}}}}}
  server_set_id = $auth2
"""


def loopback() -> str:
    """Return a loopback address that nobody else uses, or nearly so."""
    return f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"


def free_ports(address: str, count: int) -> list[int]:
    """Return ports of an address on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((address, 0))
        return [one.getsockname()[1] for one in sockets]


class Exim:
    """One exim on `top`. `environment` is what the container would get; see docs/exim.md."""

    def __init__(
        self, top: Path, environment: Mapping[str, str] | None = None, *, changes: str = ""
    ) -> None:
        """`changes` is a sed script for the rooms: how a known-bad configuration is made."""
        self.top = top
        self.address = loopback()
        self.port, self.submission, self.submissions = free_ports(self.address, 3)
        for name in ("spool", "log", "etc", "dkim", "conf"):
            (top / name).mkdir(parents=True)
            shutil.chown(top / name, USER, USER)
        for file in (*DEPLOY.glob("*.conf"),):
            target = top / "conf" / file.name
            target.write_text(file.read_text())
            if changes:
                subprocess.run(["sed", "-i", "-E", changes, str(target)], check=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "EXIM_HOSTNAME": "mx.test",
            "EXIM_LISTEN": self.address,
            "EXIM_SMTP_PORT": str(self.port),
            "EXIM_SUBMISSION_PORT": str(self.submission),
            "EXIM_SUBMISSIONS_PORT": str(self.submissions),
            "EXIM_SPOOL": f"{top}/spool",
            "EXIM_RUN": f"{top}",
            "EXIM_LOG_DIR": f"{top}/log",
            "EXIM_CONF_DIR": f"{top}/conf",
            "EXIM_LOCAL_CONF": f"{top}/etc/local.conf",
            "EXIM_DOMAINS_FILE": f"{top}/etc/domains",
            "EXIM_ALIASES": f"{top}/etc/aliases",
            "EXIM_ROUTES": f"{top}/etc/routes",
            "EXIM_DKIM_DIR": f"{top}/dkim",
            "EXIM_TLS_CERTIFICATE": f"{top}/tls.crt",
            "EXIM_TLS_KEY": f"{top}/tls.key",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Log(top / "log")

    def write(self, name: str, text: str) -> None:
        """Write a file of /etc/restante-exim."""
        (self.top / "etc" / name).write_text(text)

    def use_certificate(self, certificate: Path, key: Path) -> None:
        """Serve TLS."""
        shutil.copy(certificate, self.top / "tls.crt")
        shutil.copy(key, self.top / "tls.key")
        shutil.chown(self.top / "tls.key", USER, USER)

    def render(self) -> None:
        """Write the macros of the environment. Raises CalledProcessError with its text."""
        done = subprocess.run(
            [str(DEPLOY / "render")], env=self.environment, capture_output=True, check=True
        )
        (self.top / "macros").write_bytes(done.stdout)
        self._write_main()

    def _write_main(self) -> None:
        (self.top / "exim.conf").write_text(
            f".include {self.top}/macros\n.include {self.top}/conf/exim.conf\n"
        )

    def start(self, queue: str = "1s") -> None:
        """Run the daemon with a queue runner every so often; wait until it listens."""
        self.render()
        self.spawn(queue)

    def spawn(self, queue: str) -> None:
        """Run the daemon with the configuration as it is."""
        mark = self._log.mark()
        self._process = subprocess.Popen(
            [need("exim4"), "-C", str(self.top / "exim.conf"), "-bdf", f"-q{queue}"],
            user=USER,
            group=USER,
            extra_groups=[],
            cwd=self.top,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.top / "stderr").open("wb"),
            start_new_session=True,
        )
        (said,) = self.wait_log(r"daemon started|configuration error", after=mark)
        assert "daemon started" in said, self.log()

    def stop(self) -> None:
        """End the daemon and what it has started."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None

    def close(self) -> None:
        """Stop reading the log, too; it is shown where the test has failed."""
        self.stop()
        print(self.log())
        self._log.close()

    # --- what it says ----------------------------------------------------------------------------

    def run(self, *words: str, stdin: bytes = b"") -> str:
        """Run exim with the same configuration, as the container's user; return its output."""
        done = subprocess.run(
            [need("exim4"), "-C", str(self.top / "exim.conf"), *words],
            input=stdin,
            user=USER,
            group=USER,
            extra_groups=[],
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.stdout.decode() + done.stderr.decode()

    def queue(self) -> list[str]:
        """Return the recipients that `exim -bp` shows as waiting."""
        return [w for line in self.run("-bp").splitlines() if len(w := line.strip()) and "@" in w
                and " " not in w]  # fmt: skip

    def mark(self) -> int:
        """Return a place in the log, for `after`."""
        return self._log.mark()

    def wait_log(self, pattern: str, *, after: int = 0, count: int = 1) -> list[str]:
        """Return the first `count` log lines with the pattern; fail when they do not come."""
        found = self._log.wait(pattern, after, count)
        if len(found) < count:
            error = (self.top / "stderr").read_text() if (self.top / "stderr").exists() else ""
            raise AssertionError(f"no {pattern!r} in the log:\n{self.log()}\n{error}")
        return found

    def log(self, after: int = 0) -> str:
        """Return the log so far."""
        return "\n".join(self._log.lines[after:])

    # --- clients ---------------------------------------------------------------------------------

    def smtp(self, port: int = 0) -> smtplib.SMTP:
        """Return a client of the door for everybody, or of another port."""
        return smtplib.SMTP(self.address, port or self.port, "client.test", timeout=_PATIENCE)

    def rcpt(self, address: str, sender: str = "bob@x.test") -> tuple[int, str]:
        """Return the answer to RCPT."""
        with self.smtp() as client:
            client.ehlo()
            client.mail(sender)
            code, text = client.rcpt(address)
            return code, text.decode()

    def send(self, message: bytes, *recipients: str, sender: str = "bob@x.test") -> str:
        """Hand a message in from outside; return exim's id of it."""
        with self.smtp() as client:
            client.ehlo()
            code, text = client.mail(sender)
            assert code == 250, text
            for recipient in recipients:
                code, text = client.rcpt(recipient)
                assert code == 250, (recipient, text)
            code, text = client.data(message)
            assert code == 250, text
            found = re.search(r"id=(\S+)", text.decode())
            assert found, text
            return found[1]

    def login(self, user: str, password: str, *, trust: Path) -> smtplib.SMTP:
        """Return a client that has logged in by STARTTLS on the submission port."""
        client = self.smtp(self.submission)
        client._host = "localhost"  # type: ignore[attr-defined] # the name in the certificate
        client.starttls(context=ssl.create_default_context(cafile=str(trust)))
        client.login(user, password)
        return client


class Log:
    """The pipes main, panic and reject, read by one thread each."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._files = []
        for name in ("mainlog", "paniclog", "rejectlog"):
            os.mkfifo(folder / name, 0o600)
            shutil.chown(folder / name, USER, USER)
            file = os.fdopen(os.open(folder / name, os.O_RDWR), "rb", buffering=0)
            self._files.append(file)
            threading.Thread(target=self._read, args=(file.fileno(), name), daemon=True).start()

    def _read(self, descriptor: int, name: str) -> None:
        rest = b""
        while True:
            *whole, rest = (rest + os.read(descriptor, 65536)).split(b"\n")
            if b"\0end" in rest:
                return
            with self._changed:
                self.lines += [f"{name[:-3]}: {line.decode(errors='replace')}" for line in whole]
                self._changed.notify_all()

    def mark(self) -> int:
        return len(self.lines)

    def wait(self, pattern: str, after: int, count: int) -> list[str]:
        """Return up to `count` matching lines, fewer where they do not come in time."""
        seek, deadline = re.compile(pattern), time.monotonic() + _PATIENCE
        with self._changed:
            while True:
                found = [line for line in self.lines[after:] if seek.search(line)]
                left = deadline - time.monotonic()
                if len(found) >= count or left <= 0:
                    return found[:count]
                self._changed.wait(left)

    def close(self) -> None:
        for file in self._files:
            os.write(file.fileno(), b"\0end")


class Outside(Exim):
    """A second exim as the rest of the world: takes everything but mail for nobody@."""

    def _write_main(self) -> None:
        (self.top / "exim.conf").write_text(
            _OUTSIDE.format(
                top=self.top,
                address=self.address,
                port=self.port,
                tls="*" if (self.top / "tls.crt").exists() else "",
            )
        )
        (self.top / "mail").mkdir(exist_ok=True)
        shutil.chown(self.top / "mail", USER, USER)

    def received(self, count: int = 0) -> list[bytes]:
        """Return all messages, the oldest first, once there are so many."""
        self.wait_log(r"[=-]> .* T=file", count=count)
        folder = self.top / "mail/new"
        files = (
            sorted(folder.iterdir(), key=lambda f: f.stat().st_mtime_ns) if folder.exists() else []
        )
        return [file.read_bytes() for file in files]


@contextlib.contextmanager
def running(
    cls: type[Exim], top: Path, environment: Mapping[str, str] | None = None, *, queue: str = "1s"
) -> Iterator[Exim]:
    """Run one below `top`."""
    exim = cls(top, environment)
    try:
        exim.start(queue)
        yield exim
    finally:
        exim.close()


def need_exim() -> None:
    """Skip the test with the reason where exim cannot run like this."""
    need("exim4")
    if os.geteuid() != 0:
        pytest.skip("exim4 with a configuration of our own as its own user needs root")
