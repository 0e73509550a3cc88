"""POP3, IMAP and delivery as processes of root, for users of the system who try to cross over.

Ann has mail; Bob has a shell, and does what he can in his own home.
"""

import fcntl
import os
import poplib
import smtplib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.imap.wire import Wire
from tests.support import System
from tests.support.system import unique_message
from tests.unit.store.owners import ANN, BOB, needs_root, owners_of, volume

pytestmark = needs_root

DOMAIN, PASSWORD = "example.test", "secret 1"
USERS = {"ann": ANN, "bob": BOB}
SECRET = b"what ann keeps to herself"


class Users:
    """A system whose accounts are two users, with homes below the mail root."""

    def __init__(self, base: Path, root: Path) -> None:
        self.root = root
        self.homes = {name: root / "home" / name for name in USERS}
        # Where bob says that his Maildir is ann's: the `mail` field of his account.
        thief = f"eve@{DOMAIN}\thome={self.homes['bob']}|uid={BOB}|gid={BOB}"
        lines = [f"{thief}|mail={self.homes['ann']}/Maildir"]
        for name, uid in USERS.items():
            lines.append(f"{name}@{DOMAIN}\thome={self.homes[name]}|uid={uid}|gid={uid}")
        userdb = base / "userdb"
        userdb.write_text("".join(f"{line}|systempw={{PLAIN}}{PASSWORD}\n" for line in lines))
        userdb.chmod(0o600)
        env = {
            "RESTANTE_MAIL_ROOT": str(root),
            "RESTANTE_WORKERS": "1",
            "RESTANTE_AUTH_MODULES": "userdb",
            "RESTANTE_AUTH_USERDB": str(userdb),
            "RESTANTE_AUTH_THROTTLE_BASE_SECONDS": "0",
            "RESTANTE_DRAIN_SECONDS": "1",
        }
        self.system = System(base, ("delivery", "imap", "pop3"), env)

    def deliver(self, *names: str, data: bytes = b"", size: int = 0) -> dict[str, int]:
        """Deliver by LMTP; returns the code of each recipient."""
        with smtplib.LMTP(*self.system.address("delivery", "lmtp_listen")) as client:
            client.ehlo()
            client.mail("x@x.test")
            for name in names:
                assert client.rcpt(f"{name}@{DOMAIN}")[0] == 250
            client.putcmd("DATA")
            assert client.getreply()[0] == 354
            client.send((data or unique_message(size=size)) + b".\r\n")
            return {name: client.getreply()[0] for name in names}

    def imap(self, name: str) -> Wire:
        wire = Wire(self.system.address("imap"))
        self.answer = wire.run(f'LOGIN {name}@{DOMAIN} "{PASSWORD}"')[-1]
        return wire

    def pop3(self, name: str) -> poplib.POP3:
        client = poplib.POP3(*self.system.address("pop3"), timeout=20)
        client.user(f"{name}@{DOMAIN}")
        client.pass_(PASSWORD)
        return client

    def maildir(self, name: str) -> Path:
        return self.homes[name] / "Maildir"

    def as_bob(self, script: str) -> None:
        subprocess.run(
            ["sh", "-ec", script],
            check=True,
            cwd=self.homes["bob"],
            user=BOB,
            group=BOB,
            extra_groups=[],
            env={"PATH": os.defpath, "ann": str(self.homes["ann"])},
        )


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    with volume() as root:
        made = Users(tmp_path_factory.mktemp("owners"), root)
        with made.system:
            secret = unique_message() + SECRET + b"\r\n"
            assert made.deliver("ann", "bob") == {"ann": 250, "bob": 250}
            assert made.deliver("ann", data=secret) == {"ann": 250}
            yield made


@pytest.fixture
def bobs(users: Users) -> Iterator[Users]:
    """Bob's home is new afterwards; what ann has is as it was."""
    before = snapshot(users.homes["ann"])
    yield users
    assert snapshot(users.homes["ann"]) == before
    users.homes["bob"].rename(users.root / f"old{time.time_ns()}")
    # A delivery may know the directories of the old one for two seconds more.
    deadline = time.monotonic() + 30
    while not users.maildir("bob").exists():
        assert time.monotonic() < deadline
        users.deliver("bob")


def snapshot(home: Path) -> list[tuple[str, int, int]]:
    """Names and sizes of messages; sessions of ann's own may write indexes."""
    found = [p for p in home.rglob("*") if p.parent.name in ("new", "cur", "tmp")]
    return sorted((p.name.partition(":")[0], p.stat().st_size, p.stat().st_uid) for p in found)


def test_all_three_serve_both_as_themselves(users: Users) -> None:
    for name, uid in USERS.items():
        assert users.deliver(name, size=400_000) == {name: 250}
        wire = users.imap(name)
        wire.ok("SELECT INBOX")
        wire.ok("FETCH 1:* (ENVELOPE BODY[])")
        wire.ok("STORE 1 +FLAGS (\\Flagged $word)")
        wire.ok("CREATE INBOX.Work")
        wire.ok("COPY 1 INBOX.Work")
        wire.ok('LIST "" *')
        wire.ok("LOGOUT")
        client = users.pop3(name)
        assert client.stat()[0] >= 2
        client.retr(1)
        client.retr(2)
        client.dele(2)
        client.quit()
        assert users.pop3(name).quit().startswith(b"+OK")  # an INBOX that is known
        assert owners_of(users.homes[name]) == {(uid, uid)}
    for place in (users.root, users.root / "home"):
        assert place.stat().st_uid == 0


def test_one_message_for_both(users: Users) -> None:
    for size in (0, 400_000):
        assert users.deliver("ann", "bob", size=size) == {"ann": 250, "bob": 250}
    for name, uid in USERS.items():
        assert owners_of(users.homes[name]) == {(uid, uid)}


def test_idle_hears_of_a_delivery(users: Users) -> None:
    wire = users.imap("bob")
    wire.ok("SELECT INBOX")
    tag = wire.start("IDLE")
    assert wire.line().startswith(b"+")
    users.deliver("bob")
    while b"EXISTS" not in wire.line():
        continue
    wire.send(b"DONE\r\n")
    wire.until(tag)
    wire.ok("LOGOUT")


def links(users: Users) -> None:
    """Links of every kind from bob's Maildir into ann's. Hard ones he could not make himself."""
    users.as_bob('ln -s "$ann/Maildir" Maildir/.Ann; ln -s "$ann/Maildir/new" Maildir/.Sent/tmp2')
    messages = [p for part in ("new", "cur") for p in (users.maildir("ann") / part).iterdir()]
    for number, path in enumerate(messages):
        users.as_bob(f'ln -s "{path}" "Maildir/new/1.S{number}.x"')
        os.link(path, users.maildir("bob") / "cur" / f"2.H{number}.x:2,")


def test_links_in_a_maildir_show_nothing(bobs: Users) -> None:
    links(bobs)
    wire = bobs.imap("bob")
    said = wire.run("SELECT INBOX") + wire.run("FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
    said += wire.run("SEARCH TEXT herself") + wire.run('LIST "" *') + wire.run("SELECT INBOX.Ann")
    assert said[-1].startswith(b"NO ")
    assert SECRET not in b"\n".join(said)
    assert not any(line.startswith(b"* LIST") and b"Ann" in line for line in said)
    wire.run("COPY 1:* INBOX.Sent")
    wire.run("STORE 1:* +FLAGS.SILENT (\\Deleted)")
    wire.run("LOGOUT")
    client = bobs.pop3("bob")
    for number in range(1, client.stat()[0] + 1):
        try:
            assert SECRET not in b"\n".join(client.retr(number)[1])
        except poplib.error_proto as error:
            assert b"-ERR" in error.args[0]
    client.quit()


def test_a_maildir_that_leads_to_anothers_is_closed(bobs: Users) -> None:
    bobs.as_bob('mv Maildir aside; ln -s "$ann/Maildir" Maildir')
    closed(bobs, "bob")


def test_an_account_whose_maildir_is_anothers_is_closed(bobs: Users) -> None:
    session = bobs.imap("ann")  # has the folder in memory
    session.ok("SELECT INBOX")
    closed(bobs, "eve")
    session.ok("LOGOUT")
    log = "".join(bobs.system[name].log() for name in ("imap", "pop3", "delivery"))
    told = [line for line in log.split("\n") if "mail of eve@example.test" in line]
    assert len(told) == 3  # once by each service


def closed(users: Users, name: str) -> None:
    """Every door says: not now. Nothing is a bounce and nothing is shown."""
    deadline = time.monotonic() + 30
    while (codes := users.deliver(name)) != {name: 451}:  # handles are kept for a moment
        assert codes == {name: 250}
        assert time.monotonic() < deadline
    assert users.deliver(name, size=400_000) == {name: 451}
    with pytest.raises(poplib.error_proto) as caught:
        users.pop3(name)
    assert b"[SYS/TEMP]" in caught.value.args[0]
    wire = users.imap(name)
    said = [users.answer]
    if users.answer.startswith(b"OK"):  # the Maildir was seen whole by a session before
        said = [wire.run(command)[-1] for command in ("SELECT INBOX", "CREATE INBOX.X")]
    assert all(line.startswith(b"NO [UNAVAILABLE]") for line in said), said
    wire.socket.close()


def test_parts_that_lead_to_anothers_take_no_mail(bobs: Users) -> None:
    for part in ("tmp", "new", "cur"):
        bobs.as_bob(f'rm -rf Maildir/{part}; ln -s "$ann/Maildir/{part}" Maildir/{part}')
    deadline = time.monotonic() + 30
    while (codes := bobs.deliver("bob")) != {"bob": 451}:
        assert codes == {"bob": 250}
        assert time.monotonic() < deadline
    wire = bobs.imap("bob")
    said = wire.run("SELECT INBOX") + wire.run("FETCH 1:* BODY.PEEK[]")
    assert SECRET not in b"\n".join(said)
    wire.socket.close()


def test_who_holds_his_own_lock_holds_up_himself(users: Users) -> None:
    """A user may lock files of his own Maildir for as long as he likes; others are served."""
    users.deliver("bob")
    sessions = [users.imap("bob") for _ in range(20)]  # more than the worker has threads
    sessions[0].ok("SELECT INBOX")
    sessions[0].ok("UNSELECT")
    index = (users.maildir("bob") / "restante.index").open("r+b")
    with index:
        fcntl.lockf(index, fcntl.LOCK_EX)
        users.deliver("bob")  # something to take in, which needs the lock
        tags = [(wire, wire.start("SELECT INBOX")) for wire in sessions]
        for _ in range(3):
            wire = users.imap("ann")
            wire.ok("SELECT INBOX")
            wire.ok("LOGOUT")
            assert users.deliver("ann") == {"ann": 250}
        fcntl.lockf(index, fcntl.LOCK_UN)
    for wire, tag in tags:
        wire.until(tag)
        wire.ok("LOGOUT")
