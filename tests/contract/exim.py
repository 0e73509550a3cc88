"""Debian's exim4 with a configuration and a spool of our own; nothing of the system's is used."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.programs import need

_CONFIGURATION = """\
{macros}
spool_directory = {top}/spool
log_file_path = {top}/spool/%slog
primary_hostname = mx.test
qualify_domain = example.test
exim_user = Debian-exim
exim_group = Debian-exim
tls_advertise_hosts =
keep_environment =
never_users = root
domainlist local_domains = example.test
begin routers
{routers}
begin transports
maildir:
  driver = appendfile
{transport}
  maildir_format
  delivery_date_add
  envelope_to_add
begin retry
* * F,1h,10m
"""


class Exim:
    """Routes addresses and delivers messages."""

    def __init__(self, program: str, top: Path) -> None:
        self._program, self.top = program, top
        (top / "spool").mkdir()
        shutil.chown(top / "spool", "Debian-exim", "Debian-exim")

    def configure(self, routers: str, transport: str, macros: str = "") -> None:
        """Set the routers, and the lines of the transport "maildir" that say where and as whom."""
        (self.top / "exim.conf").write_text(
            _CONFIGURATION.format(top=self.top, routers=routers, transport=transport, macros=macros)
        )

    def route(self, address: str) -> tuple[int, str]:
        """Return what `exim -bt` says: 0 routed, 1 not now, 2 no such address."""
        done = self._run("-bt", address)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def expand(self, expression: str) -> str:
        """Return an expanded string."""
        done = self._run("-be", expression)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().removesuffix("\n")

    def deliver(self, address: str, message: bytes) -> str:
        """Hand a message in and wait for what becomes of it; return the log."""
        done = self._run("-oi", "-odf", "-f", "bob@x.test", address, stdin=message)
        assert done.returncode == 0, done.stderr.decode()
        return (self.top / "spool/mainlog").read_text()

    def _run(self, *words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        configuration = str(self.top / "exim.conf")
        return subprocess.run(
            [self._program, "-C", configuration, *words],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )


@contextmanager
def exim_below_tmp() -> Iterator[Exim]:
    """Give an exim, or skip the test with the reason why there is none."""
    program = need("exim4")
    if os.geteuid() != 0:
        pytest.skip("exim4 with a configuration of our own needs root")
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        top = Path(name)
        top.chmod(0o755)  # exim looks things up as its own user
        yield Exim(program, top)
