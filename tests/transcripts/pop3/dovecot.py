"""Dovecot as the oracle of POP3: any user with the test's password."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIG = """\
base_dir = {base}/run
state_dir = {base}/run
log_path = {base}/log
protocols = pop3
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
first_valid_uid = 0
first_valid_gid = 0
mail_location = maildir:~/Maildir
stats_writer_socket_path =
auth_failure_delay = 0
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/home/%u
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""


def why_not() -> str:
    """Return why the oracle cannot run here, "" if it can."""
    if shutil.which("dovecot") is None or not Path("/usr/lib/dovecot/pop3").exists():
        return "dovecot's pop3 is not installed"
    return "" if os.geteuid() == 0 else "dovecot as oracle needs root"


@contextmanager
def running(password: str) -> Iterator[tuple[int, Path]]:
    """Run it; yields its port and the directory of homes."""
    nobody = pwd.getpwnam("nobody")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    # Not below pytest's directory, which is closed to other users at every start of pytest.
    base = Path(tempfile.mkdtemp(prefix="restante-oracle-"))
    base.chmod(0o755)
    (base / "home").mkdir()
    config = base / "dovecot.conf"
    config.write_text(
        _CONFIG.format(
            base=base, port=port, password=password, uid=nobody.pw_uid, gid=nobody.pw_gid
        )
    )
    process = subprocess.Popen(["dovecot", "-F", "-c", str(config)])
    try:
        _wait(port, base / "log")
        yield port, base / "home"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(base, ignore_errors=True)


def _wait(port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                if probe.recv(10):
                    return
        except OSError:
            pass
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)  # another program's start has no event to wait for
