"""The servers under test, as real processes on ports of 127.0.0.1: Restante and Dovecot.

Each keeps its files below a directory of its own and runs for the whole benchmark; only one is
under load at a time. `tests.bench.courier` is the third.
"""

import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Protocol

from sqlalchemy import create_engine, insert

from restante.store.volume import create_volume
from services.auth.database import migrate, schema
from tests.bench.mail import DOMAIN, Plan, make_accounts, stored_password
from tests.support.system import System

START_SECONDS = 30.0


class MissingError(Exception):
    """The peer cannot run on this machine; the text says why."""


class Peer(Protocol):
    """A server with its ports by protocol: lmtp (where it has it), pop3, imap."""

    name: str
    ports: dict[str, int]
    homes: dict[str, Path]

    def start(self) -> None:
        """Start and wait until all ports answer. Raises MissingError."""

    def stop(self) -> None:
        """End all its processes."""

    def roots(self) -> list[int]:
        """Return the pids at the top of its process trees."""


def mail_owner() -> tuple[int, int]:
    """Return uid and gid that own the mail: nobody's where we are root, else ours."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        return entry.pw_uid, entry.pw_gid
    return os.geteuid(), os.getegid()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_ports(name: str, ports: dict[str, int], log: Path) -> None:
    """Wait until each port sends a greeting. Raises MissingError with the end of the log."""
    deadline = time.monotonic() + START_SECONDS
    for protocol, port in ports.items():
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                    if sock.recv(100):
                        break
            except OSError:
                pass
            if time.monotonic() > deadline:
                text = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                raise MissingError(f"{name} does not answer on {protocol}: {text}")
            time.sleep(0.1)


def write_userdb(path: Path, homes: dict[str, Path]) -> None:
    """Write the accounts as Courier's userdb."""
    uid, gid = mail_owner()
    stored = stored_password()
    path.write_text(
        "".join(
            f"{user}@{DOMAIN}\thome={home}|uid={uid}|gid={gid}|mail={home}/Maildir"
            f"|systempw={stored}\n"
            for user, home in homes.items()
        )
    )
    path.chmod(0o600)


def write_database(path: Path, homes: dict[str, Path]) -> None:
    """Write the accounts into Restante's database, with the hash the others have."""
    uid, gid = mail_owner()
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}")
    migrate.prepare(engine)
    common = {"name": "", "quota": "", "options": "", "disabled": False, "created": 0, "updated": 0}
    rows = [
        common
        | {"address": f"{user}@{DOMAIN}", "domain": DOMAIN, "password": stored_password()}
        | {"uid": uid, "gid": gid, "home": str(home), "maildir": "Maildir"}
        for user, home in homes.items()
    ]
    domain = {"name": DOMAIN, "default_quota": "", "default_options": "", "created": 0}
    with engine.begin() as connection:
        connection.execute(insert(schema.domains), domain)
        connection.execute(insert(schema.accounts), rows)
    engine.dispose()


class Restante:
    """This project: auth, delivery, POP3 and IMAP as containers start them."""

    name = "restante"

    def __init__(self, work: Path, seed: Path, plan: Plan, workers: int) -> None:
        self.work = work / self.name
        self.system = System(
            self.work,
            ("auth", "delivery", "pop3", "imap"),
            {
                "RESTANTE_WORKERS": str(workers),
                **{
                    f"RESTANTE_{service}_MAX_CONNECTIONS_PER_{what}": "60000"
                    for service in ("DELIVERY", "POP3", "IMAP")
                    for what in ("ADDRESS", "USER")
                },
            },
        )
        create_volume(self.system.mail_root)
        self.homes = make_accounts(self.system.mail_root, seed, plan, mail_owner())
        write_database(self.system.data / "auth" / "accounts.sqlite", self.homes)
        self.ports: dict[str, int] = {}

    def start(self) -> None:
        """Start the four services."""
        self.system.start()
        self.ports = {
            "lmtp": self.system.address("delivery", "lmtp_listen")[1],
            "pop3": self.system.address("pop3")[1],
            "imap": self.system.address("imap")[1],
        }

    def stop(self) -> None:
        """Drain and end."""
        for service in reversed(self.system.services.values()):
            try:
                service.stop()
            except subprocess.TimeoutExpired:
                print(f"restante: {service.name} had to be killed", flush=True)

    def roots(self) -> list[int]:
        """The four parent processes."""
        return [service.pid for service in self.system.services.values()]


# Login processes serve many connections (performance mode), mail processes serve many sessions
# one after another, the auth cache holds the hashes; durability is full (mail_fsync = always).
_DOVECOT = """\
base_dir = {run}
state_dir = {run}
log_path = {log}
protocols = imap pop3 lmtp
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_cache_size = 64 M
auth_cache_ttl = 1 hour
auth_cache_verify_password_with_worker = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_fsync = always
maildir_very_dirty_syncs = yes
mail_max_userip_connections = 60000
stats_writer_socket_path =
default_client_limit = 20000
default_process_limit = 100
{users}
passdb {{
  driver = passwd-file
  args = username_format=%u {passwd}
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {passwd}
}}
namespace inbox {{
  inbox = yes
}}
service auth {{
  client_limit = 16000
}}
service anvil {{
  client_limit = 16000
}}
service imap-login {{
  process_limit = 2
  service_count = 0
  client_limit = 12000
  process_min_avail = 2
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  process_limit = 2
  service_count = 0
  client_limit = 12000
  process_min_avail = 2
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service imap {{
  process_limit = 12000
  service_count = 256
  process_min_avail = 4
}}
service pop3 {{
  service_count = 256
  process_min_avail = 4
}}
service lmtp {{
  process_min_avail = 16
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""


class Dovecot:
    """Debian's Dovecot 2.3, tuned for logins, with full durability."""

    name = "dovecot"

    def __init__(self, work: Path, seed: Path, plan: Plan, *, hibernate: bool = False) -> None:
        if not shutil.which("dovecot", path="/usr/sbin:/usr/bin"):
            raise MissingError("dovecot is not installed (dovecot-imapd -pop3d -lmtpd)")
        self.work = work / self.name
        self.work.mkdir()
        self.homes = make_accounts(self.work / "mail", seed, plan, mail_owner())
        uid, gid = mail_owner()
        passwd = self.work / "passwd"
        stored = stored_password()
        passwd.write_text(
            "".join(
                f"{user}@{DOMAIN}:{stored}:{uid}:{gid}::{home}::\n"
                for user, home in self.homes.items()
            )
        )
        passwd.chmod(0o644)
        self.ports = {name: free_port() for name in ("lmtp", "pop3", "imap")}
        self.log = self.work / "log"
        me = pwd.getpwuid(os.geteuid()).pw_name
        users = "" if os.geteuid() == 0 else _ORDINARY_USER.format(me=me)
        text = _DOVECOT.format(
            run=self.work / "run", log=self.log, passwd=passwd, users=users, **self.ports
        )
        if hibernate:
            text += "imap_hibernate_timeout = 5s\n"
        self.config = self.work / "dovecot.conf"
        self.config.write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the master process."""
        self.process = subprocess.Popen(
            ["/usr/sbin/dovecot", "-F", "-c", str(self.config)], start_new_session=True
        )
        wait_for_ports(self.name, self.ports, self.log)

    def stop(self) -> None:
        """End the master, which ends the others."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def roots(self) -> list[int]:
        """The master process."""
        assert self.process is not None
        return [self.process.pid]


_ORDINARY_USER = """\
default_internal_user = {me}
default_login_user = {me}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
}}
service pop3-login {{
  chroot =
}}
"""
