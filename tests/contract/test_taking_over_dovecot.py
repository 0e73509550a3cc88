"""A Maildir that Dovecot has served keeps its UIDs, UIDLs, keywords and subscriptions with us."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.model import INBOX, Account, Flag
from restante.store.account import MailStore
from restante.store.hints import Hints
from restante.store.pool import StorePool
from restante.store.volume import create_volume

CONFIG = """\
base_dir = {work}/run
state_dir = {work}/run
log_path = {work}/log
ssl = no
protocols = imap pop3
mail_location = maildir:{maildir}
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
stats_writer_socket_path =
namespace inbox {{
  inbox = yes
}}
"""


class Dovecot:
    """Dovecot's imap and pop3 programs on one Maildir, talked to over pipes; no daemon."""

    def __init__(self, work: Path, maildir: Path) -> None:
        # It refuses to serve root.
        uid = os.getuid() or pwd.getpwnam("nobody").pw_uid
        gid = pwd.getpwuid(uid).pw_gid
        self.config = work / "dovecot.conf"
        self.config.write_text(CONFIG.format(work=work, maildir=maildir, uid=uid, gid=gid))
        self.environment = {**os.environ, "USER": pwd.getpwuid(uid).pw_name, "HOME": str(work)}
        self.log = work / "log"
        if os.getuid() == 0:
            for path in (maildir, *maildir.rglob("*")):
                os.chown(path, uid, gid)

    def talk(self, program: str, *lines: str) -> str:
        """Send commands one after the other; the last must make it end."""
        process = subprocess.Popen(
            ["doveadm", "-c", str(self.config), "exec", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        # Started like this, imap greets with PREAUTH and pop3 says nothing.
        answer = process.stdout.readline() if program == "imap" else ""
        for number, line in enumerate(lines):
            process.stdin.write(f"{line}\r\n" if program == "pop3" else f"t{number} {line}\r\n")
            process.stdin.flush()
            end = r"\.|[+-].*" if program == "pop3" and line != "UIDL" else rf"t{number} .*|\."
            while got := process.stdout.readline():
                answer += got
                if re.fullmatch(end, got.rstrip()):
                    break
        watchdog.cancel()
        process.stdin.close()
        process.stdout.close()
        assert process.wait(10) == 0, answer + self.log.read_text()
        return answer


@pytest.fixture
def root() -> Iterator[Path]:
    """A mail root that another user may enter, as Dovecot must when we are root."""
    if shutil.which("doveadm") is None:
        pytest.skip("dovecot is not installed")
    path = Path(tempfile.mkdtemp(prefix="restante-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_everything_is_kept(root: Path) -> None:
    create_volume(root)
    home = root / "fred"
    maildir = home / "Maildir"
    for name in ("tmp", "new", "cur"):
        (maildir / name).mkdir(parents=True)
    for number in range(3):
        message = maildir / "new" / f"100000000{number}.M1P1.host"
        message.write_bytes(b"Subject: %d\n\nbody\n" % number)
    dovecot = Dovecot(root, maildir)
    said = dovecot.talk(
        "imap",
        "CREATE Entw&APw-rfe",
        "CREATE Work.2026",
        "SUBSCRIBE INBOX",
        "SUBSCRIBE Entw&APw-rfe",
        "SUBSCRIBE Work.2026",
        "SELECT INBOX",
        "STORE 1 +FLAGS (project $Label1)",
        "STORE 2 +FLAGS (\\Seen $Label1)",
        "STORE 1 +FLAGS (\\Deleted)",
        "EXPUNGE",
        "COPY 1 Entw&APw-rfe",
        "UID FETCH 1:* FLAGS",
        "STATUS INBOX (UIDNEXT UIDVALIDITY)",
        "STATUS Entw&APw-rfe (UIDNEXT UIDVALIDITY)",
        "LOGOUT",
    )
    uidls = re.findall(r"^\d+ (\S+)\r?$", dovecot.talk("pop3", "UIDL", "QUIT"), re.MULTILINE)
    validities = re.findall(r"STATUS \S+ \(UIDNEXT (\d+) UIDVALIDITY (\d+)\)", said)

    store = MailStore(root, hints=Hints(), pool=StorePool(1))
    account = store.open_account(Account("f@x", os.getuid(), os.getgid(), home, maildir))
    assert [entry.name for entry in account.folders()] == [
        INBOX,
        ("Entwürfe",),
        ("Work",),
        ("Work", "2026"),
    ]
    assert account.subscriptions() == [INBOX, ("Entwürfe",), ("Work", "2026")]
    inbox = account.open_mailbox(INBOX)
    assert (inbox.uidnext, inbox.uidvalidity) == tuple(map(int, validities[0]))
    assert list(inbox.uids) == [2, 3]
    assert [inbox.uidl(row) for row in range(2)] == uidls
    assert inbox.flags[0] == Flag.SEEN
    words = [
        {word for bit, word in enumerate(inbox.keywords) if bits >> bit & 1}
        for bits in inbox.keyword_bits
    ]
    assert words == [{"$Label1"}, set()]
    drafts = account.open_mailbox(("Entwürfe",))
    assert (drafts.uidnext, drafts.uidvalidity) == tuple(map(int, validities[1]))
    account.create(("New",))
    assert account.status(("New",)).uidvalidity > max(inbox.uidvalidity, drafts.uidvalidity)
    for mailbox in (inbox, drafts):
        mailbox.release()
    store.mailboxes.close()
    store.handles.close()
    store.pool.close()
