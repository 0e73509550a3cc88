"""Dovecot as the oracle: IMAP alone, any user with the test's password, Courier's layout."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PASSWORD = "secret"

_CONFIG = """\
base_dir = {base}/run
state_dir = {base}/run
log_path = {base}/log
protocols = imap
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
first_valid_uid = 0
first_valid_gid = 0
mail_location = maildir:~/Maildir
mailbox_list_index = no
stats_writer_socket_path =
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/home/%u
}}
namespace inbox {{
  inbox = yes
  prefix = INBOX.
  separator = .
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""


def why_not() -> str:
    """Return why the oracle cannot run here, "" if it can."""
    if shutil.which("dovecot") is None or not Path("/usr/lib/dovecot/imap").exists():
        return "dovecot with IMAP is not installed"
    return "" if os.geteuid() == 0 else "dovecot as oracle needs root"


class Dovecot:
    """A running Dovecot."""

    def __init__(self) -> None:
        nobody = pwd.getpwnam("nobody")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        # Not below pytest's directory, which is closed to other users at every start of pytest.
        self._base = base = Path(tempfile.mkdtemp(prefix="restante-oracle-"))
        base.chmod(0o755)
        homes = base / "home"
        homes.mkdir()
        os.chown(homes, nobody.pw_uid, nobody.pw_gid)
        config = base / "dovecot.conf"
        config.write_text(
            _CONFIG.format(
                base=base,
                port=self.port,
                password=PASSWORD,
                user="nobody",
                group="nogroup",
                uid=nobody.pw_uid,
                gid=nobody.pw_gid,
            )
        )
        self._log = base / "log"
        self._process = subprocess.Popen(["dovecot", "-F", "-c", str(config)])
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                    if probe.recv(10):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)  # another program's start has no event to wait for

    def stop(self) -> None:
        """End it and its children."""
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self._base, ignore_errors=True)
