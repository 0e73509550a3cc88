"""Real mail programs against the IMAP service: imaplib, curl, fetchmail, mutt, mbsync."""

import imaplib
import os
import pty
import re
import select
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.imap.samples import NESTED, PLAIN, numbered
from tests.services.imap.server import PASSWORD, Server, make_certificate

JOE = "joe@example.test"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a service with settings."""
    servers: list[Server] = []

    def make(**settings: Any) -> Server:
        base = tmp_path / f"data{len(servers)}"
        base.mkdir()
        servers.append(Server(base, make_certificate(base), **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    """Return a service with the account joe@example.test."""
    return start()


def program(name: str) -> str:
    """Return the path of a program, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program with a bound on its time."""
    options = {"timeout": 120, "capture_output": True, **options}
    return subprocess.run([str(a) for a in arguments], check=False, **options)


# --- imaplib ------------------------------------------------------------------------------------


def test_imaplib_over_tls(server: Server) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for message in numbered(3):
        server.deliver(message)
    with imaplib.IMAP4_SSL(*server.tls_address, ssl_context=context) as client:
        assert client.login(JOE, PASSWORD)[0] == "OK"
        assert client.enable("CONDSTORE")[0] == "OK"
        assert client.select("INBOX") == ("OK", [b"3"])
        assert client.search(None, "UNSEEN") == ("OK", [b"1 2 3"])
        status, data = client.fetch("1:3", "(RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        assert status == "OK"
        assert sum(isinstance(item, tuple) for item in data) == 3
        assert client.store("2", "+FLAGS", "\\Deleted")[0] == "OK"
        assert client.expunge() == ("OK", [b"2"])
        assert client.uid("SEARCH", "ALL") == ("OK", [b"1 3"])
        assert client.create("INBOX.Lib")[0] == "OK"
        assert client.copy("1", "INBOX.Lib")[0] == "OK"
        assert client.append("INBOX.Lib", "\\Seen", imaplib.Time2Internaldate(0), PLAIN)[0] == "OK"
        assert client.status("INBOX.Lib", "(MESSAGES UNSEEN)")[1] == [
            b'"INBOX.Lib" (MESSAGES 2 UNSEEN 1)'
        ]
        status, folders = client.list()
        assert status == "OK"
        assert any(b'"INBOX.Lib"' in (f if isinstance(f, bytes) else b"") for f in folders)
        assert client.getquotaroot("INBOX")[0] == "OK"
        assert client.namespace()[0] == "OK"
        assert client.close()[0] == "OK"


def test_imaplib_with_starttls(start: Callable[..., Server]) -> None:
    server = start(tls_required=True)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with imaplib.IMAP4(*server.address) as client:
        with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
            client.login(JOE, PASSWORD)
        assert client.starttls(context)[0] == "OK"
        assert client.login(JOE, PASSWORD)[0] == "OK"


# --- curl ---------------------------------------------------------------------------------------


def test_curl(server: Server, tmp_path: Path) -> None:
    curl = program("curl")
    host, port = server.address
    url, login = f"imap://{host}:{port}", ("-s", "-S", "-u", f"{JOE}:{PASSWORD}")
    message = tmp_path / "message.eml"
    message.write_bytes(NESTED)
    assert run(curl, *login, "-T", message, f"{url}/INBOX").returncode == 0
    assert run(curl, *login, f"{url}/INBOX;UID=1").stdout == NESTED
    assert (
        run(curl, *login, f"{url}/INBOX;UID=1;SECTION=TEXT").stdout
        == (NESTED.partition(b"\r\n\r\n")[2])
    )
    assert b'"INBOX.Sent"' in run(curl, *login, f"{url}/").stdout
    assert run(curl, *login, f"{url}/INBOX?ALL").stdout.strip() == b"* SEARCH 1"
    secure = run(curl, *login, "-k", "--ssl-reqd", f"{url}/INBOX;UID=1")
    assert secure.stdout == NESTED
    host, port = server.tls_address
    implicit = run(curl, *login, "-k", f"imaps://{host}:{port}/INBOX;UID=1")
    assert implicit.stdout == NESTED
    wrong = run(curl, "-s", "-u", f"{JOE}:wrong", f"{url}/")
    assert wrong.returncode == 67  # login denied


# --- fetchmail ----------------------------------------------------------------------------------


def test_fetchmail(server: Server, tmp_path: Path) -> None:
    fetchmail = program("fetchmail")
    for message in numbered(3):
        server.deliver(message)
    host, port = server.address
    settings = tmp_path / "fetchmailrc"
    settings.write_text(
        f"set no bouncemail\npoll {host} service {port} protocol imap\n"
        f'  user "{JOE}" password "{PASSWORD}" mda "cat >> {tmp_path}/out"\n'
        '  sslproto "" no keep\n'
    )
    settings.chmod(0o600)
    environment = {**os.environ, "FETCHMAILHOME": str(tmp_path), "HOME": str(tmp_path)}
    done = run(fetchmail, "-f", settings, "--nosyslog", env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out").read_bytes().count(b"Subject: s") == 3
    with server.login() as wire:
        assert b"* 0 EXISTS" in wire.ok("SELECT INBOX")


# --- mutt ---------------------------------------------------------------------------------------


def test_mutt_reads_and_moves(server: Server, tmp_path: Path) -> None:
    mutt = program("mutt")
    for message in numbered(5):
        server.deliver(message)
    host, port = server.address
    settings = tmp_path / "muttrc"
    settings.write_text(
        f'set imap_user="{JOE}" imap_pass="{PASSWORD}" ssl_starttls=no ssl_force_tls=no\n'
        "set confirmappend=no confirmcreate=no delete=yes quit=yes move=no wait_key=no\n"
        'set header_cache="" record="" resolve=no timeout=1 mail_check=0\n'
        f"set folder={tmp_path}\n"
        f"set spoolfile=imap://{host}:{port}/INBOX\n"
    )
    keys = (
        f"<first-entry><copy-message>{tmp_path}/out<enter>"
        f"<next-entry><copy-message>{tmp_path}/out<enter>"
        f"<last-entry><save-message>imap://{host}:{port}/INBOX.Archive<enter>"
        "<first-entry><next-entry><next-entry><flag-message><sync-mailbox><quit>"
    )
    arguments = [mutt, "-n", "-F", str(settings), "-e", f'push "{keys}"']
    screen = in_terminal(arguments, {**os.environ, "HOME": str(tmp_path)}, 60)
    out = (tmp_path / "out").read_bytes() if (tmp_path / "out").exists() else b""
    assert out.count(b"\nSubject: s") == 2, screen[-2000:]
    with server.select() as wire:
        assert [line.split()[0:2] for line in wire.ok("SEARCH ALL")] == [[b"*", b"SEARCH"]]
        lines = wire.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
        assert not any(b"Subject: s5" in line for line in lines)
        assert wire.ok("SEARCH FLAGGED") == [b"* SEARCH 3"]
        wire.ok("SELECT INBOX.Archive")
        assert b"Subject: s5" in wire.ok("FETCH 1 BODY.PEEK[HEADER]")[0]


def in_terminal(arguments: list[str], environment: dict[str, str], seconds: float) -> bytes:
    """Run a program in a terminal of its own until it ends; return what it painted."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(arguments[0], arguments, {**environment, "TERM": "xterm", "LC_ALL": "C.UTF-8"})
    out = b""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if select.select([fd], [], [], 0.2)[0]:
                more = os.read(fd, 65536)
                if not more:
                    break
                out += more
    except OSError:
        pass  # the program ended: its terminal is gone
    else:
        os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(fd)
    return out


# --- mbsync -------------------------------------------------------------------------------------


class Mirror:
    """A local Maildir that mbsync keeps in step with the account."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.mbsync = program("mbsync")
        self.local = directory / "local"
        self.local.mkdir()
        host, port = server.address
        self.config = directory / "mbsyncrc"
        self.config.write_text(
            f"IMAPAccount a\nHost {host}\nPort {port}\nUser {JOE}\n"
            f'Pass "{PASSWORD}"\nSSLType None\nAuthMechs LOGIN\nTimeout 60\n\n'
            "IMAPStore far\nAccount a\n\n"
            f"MaildirStore near\nPath {self.local}/\nInbox {self.local}/INBOX\n"
            "SubFolders Verbatim\n\n"
            "Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\n"
            "Expunge Both\nSyncState *\nSync All\n"
        )

    def sync(self) -> None:
        """Run once; fail with mbsync's words."""
        done = run(self.mbsync, "-c", self.config, "-a", "-q", timeout=300)
        assert done.returncode == 0, done.stderr.decode()

    def messages(self, folder: str = "INBOX") -> list[Path]:
        """Return the files of a folder."""
        root = self.local / folder
        return [file for sub in ("cur", "new") for file in (root / sub).iterdir()]


def subjects(files: list[Path]) -> list[str]:
    """Return the subjects of messages in files, sorted."""
    found = (re.search(rb"^Subject: (.*?)\r?$", file.read_bytes(), re.M) for file in files)
    return sorted(match[1].decode() for match in found if match)


def test_mbsync_both_ways(server: Server, tmp_path: Path) -> None:
    mirror = Mirror(server, tmp_path)
    for message in numbered(20):
        server.deliver(message)
    with server.select() as wire:
        wire.ok('CREATE "INBOX.Gr&APwA3w-e"')
        wire.append('"INBOX.Gr&APwA3w-e"', PLAIN)
        mirror.sync()
        assert len(mirror.messages()) == 20
        # Here: one removed, one flagged, one new. There: one removed, one answered.
        by_subject = {subjects([file])[0]: file for file in mirror.messages()}
        by_subject["s1"].unlink()
        flagged = by_subject["s2"]
        flagged.rename(mirror.local / "INBOX" / "cur" / (flagged.name.partition(":")[0] + ":2,F"))
        (mirror.local / "INBOX" / "new" / "1700000000.1.here").write_bytes(
            b"Subject: from here\n\nlocal\n"
        )
        wire.ok("NOOP")
        wire.ok("STORE 3 +FLAGS.SILENT \\Deleted")
        wire.ok("STORE 4 +FLAGS.SILENT \\Answered")
        wire.ok("EXPUNGE")
        mirror.sync()
        wire.ok("NOOP")
        lines = wire.ok("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        told = {line.split(b"Subject: ")[1].split(b"\r")[0].decode(): line for line in lines}
        assert set(told) == {f"s{n}" for n in range(2, 21) if n != 3} | {"from here"}
        assert b"\\Flagged" in told["s2"]
        here = {subjects([file])[0]: file.name for file in mirror.messages()}
        assert set(here) == set(told)
        assert "R" in here["s4"].partition(":2,")[2]
    assert any("Gr" in path.name for path in mirror.local.rglob("*Gr*"))


@pytest.mark.slow
def test_mbsync_five_thousand_messages_and_a_large_one(server: Server, tmp_path: Path) -> None:
    mirror = Mirror(server, tmp_path)
    for message in numbered(5000):
        server.deliver(message)
    large = b"Subject: large\r\n\r\n" + b"0123456789abcdef0123456789abcde\r\n" * 318_000
    server.deliver(large)
    mirror.sync()
    files = mirror.messages()
    assert len(files) == 5001
    assert subjects(files) == sorted([f"s{n}" for n in range(1, 5001)] + ["large"])
    biggest = max(files, key=lambda file: file.stat().st_size)
    body = b"0123456789abcdef0123456789abcde\n" * 318_000
    assert biggest.read_bytes().replace(b"\r\n", b"\n").endswith(b"\n\n" + body)
    # And the other way round: half of them removed there, some new ones here, one of them large.
    small = [file for file in files if file != biggest]
    for file in small[:2500]:
        file.unlink()
    (mirror.local / "INBOX" / "new" / "1700000000.1.here").write_bytes(
        large.replace(b"\r\n", b"\n").replace(b"Subject: large", b"Subject: back")
    )
    mirror.sync()
    with server.select() as wire:
        assert b"* 2502 EXISTS" in b"\n".join(wire.ok("SELECT INBOX"))
        assert wire.ok('SEARCH SUBJECT "back"') == [b"* SEARCH 2502"]
        size = wire.ok("FETCH 2502 RFC822.SIZE")[0]
        assert int(re.findall(rb"SIZE (\d+)", size)[0]) >= 10_000_000
    before = sorted(file.name for file in mirror.messages())
    mirror.sync()
    assert sorted(file.name for file in mirror.messages()) == before
