"""Real clients after an older state of the mail volume came back, and after a folder was restored.

The way is that of docs/backup.md: services down, auth up, copy back, `restante mail restored`,
services up. What must hold: no UID means another message than a client was told, nothing is there
twice in a mirror, nothing is lost, POP3 clients download nothing again.
"""

import contextlib
import imaplib
import os
import poplib
import re
import shutil
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import need, run
from tests.support.process import ROOT, clean_environment
from tests.support.system import System, unique_message

USER, PASSWORD = "fred@example.test", "correct horse battery"
MAIL = ("delivery", "imap", "pop3")


class House:
    """A running system with one account, a mirror of mbsync's, and a copy of the volume."""

    def __init__(self, system: System, base: Path) -> None:
        self.system, self.base = system, base
        self.copy = base / "copy"
        self.local = base / "local"
        self.local.mkdir()
        self.target = base / "backups"

    def restante(self, *words: str) -> str:
        command = [sys.executable, "-m", "services", *words]
        env = clean_environment(self.system.data, {})
        done = subprocess.run(
            command, env=env, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deliver(self, subject: str) -> None:
        host, port = self.system.address("delivery", "lmtp_listen")
        with smtplib.LMTP(host, port, timeout=60) as client:
            assert client.sendmail("a@example.test", [USER], unique_message(subject)) == {}

    @contextlib.contextmanager
    def imap(self) -> Iterator[imaplib.IMAP4]:
        client = imaplib.IMAP4(*self.system.address("imap"), timeout=60)
        client.login(USER, PASSWORD)
        client.select("INBOX")
        try:
            yield client
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.logout()

    def validity(self) -> int:
        with self.imap() as client:
            found = client.response("UIDVALIDITY")[1][0]
            return int(found)

    def messages(self) -> dict[int, str]:
        """Return subjects by UID."""
        found = {}
        with self.imap() as client:
            _, lines = client.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            for item in lines:
                if isinstance(item, tuple):
                    uid = re.search(rb"UID (\d+)", item[0])
                    subject = re.search(rb"Subject: (.*?)\r", item[1])
                    assert uid is not None
                    assert subject is not None
                    found[int(uid[1])] = subject[1].decode()
        return found

    def remove(self, *subjects: str) -> None:
        with self.imap() as client:
            for subject in subjects:
                numbers = client.search(None, "SUBJECT", f'"{subject}"')[1][0]
                client.store(numbers.decode(), "+FLAGS", "\\Deleted")
            client.expunge()

    def uidls(self) -> dict[str, str]:
        """Return subjects by UIDL."""
        client = poplib.POP3(*self.system.address("pop3"), timeout=60)
        client.user(USER)
        client.pass_(PASSWORD)
        found = {}
        for line in client.uidl()[1]:
            number, uidl = line.decode().split()
            head = b"\n".join(client.top(int(number), 0)[1])
            subject = re.search(rb"Subject: (.*)", head)
            assert subject is not None
            found[uidl] = subject[1].decode().strip()
        client.quit()
        return found

    def mbsync(self) -> None:
        host, port = self.system.address("imap")
        config = self.base / "mbsyncrc"
        config.write_text(
            f"IMAPAccount a\nHost {host}\nPort {port}\nUser {USER}\n"
            f'Pass "{PASSWORD}"\nSSLType None\nAuthMechs LOGIN\nTimeout 60\n\n'
            "IMAPStore far\nAccount a\n\n"
            f"MaildirStore near\nPath {self.local}/\nInbox {self.local}/INBOX\n\n"
            "Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Both\n"
            "Expunge Both\nSyncState *\nSync All\n"
        )
        run([need("mbsync"), "-c", str(config), "-a", "-q"], timeout=120)

    def mirrored(self) -> list[str]:
        found = []
        for part in ("cur", "new"):
            for file in (self.local / "INBOX" / part).iterdir():
                subject = re.search(rb"^Subject: (.*?)\r?$", file.read_bytes(), re.MULTILINE)
                assert subject is not None
                found.append(subject[1].decode())
        return sorted(found)

    def take_copy(self) -> None:
        """A copy of the live volume, as rsync or tar makes it."""
        shutil.copytree(self.system.mail_root, self.copy)

    def put_back(self, *options: str) -> None:
        """Follow docs/backup.md: "The volume came back from an older state"."""
        for name in MAIL:
            self.system[name].stop()
        shutil.rmtree(self.system.mail_root)
        os.rename(self.copy, self.system.mail_root)
        self.restante("mail", "restored", "--all", "--yes", *options)
        for name in MAIL:
            self.system[name].start()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with System(tmp_path, MAIL) as system:
        system.add_account(USER, PASSWORD)
        yield House(system, tmp_path)


@pytest.mark.parametrize("options", [(), ("--keep-uids",)], ids=["new UIDs", "same UIDs"])
def test_an_older_state_of_the_volume(house: House, options: tuple[str, ...]) -> None:
    for number in range(20):
        house.deliver(f"early {number}")
    house.mbsync()
    told = house.messages()
    uidls = house.uidls()
    validity = house.validity()
    house.take_copy()
    house.deliver("between 1")
    house.deliver("between 2")
    house.remove("early 0")
    house.mbsync()
    assert house.mirrored() == sorted(
        [f"early {n}" for n in range(1, 20)] + ["between 1", "between 2"]
    )
    told |= house.messages()
    house.put_back(*options)
    house.deliver("late 1")
    early = {f"early {n}" for n in range(20)}
    now = house.messages()
    assert set(now.values()) == early | {"late 1"}
    if options:
        assert house.validity() == validity
        assert all(told.get(uid, subject) == subject for uid, subject in now.items())
    else:
        assert house.validity() > validity
    after = house.uidls()
    assert {uidl: after.get(uidl) for uidl in uidls} == uidls
    house.mbsync()
    # What was removed after the copy is on the server again; mbsync remembers that it was removed.
    assert house.mirrored() == sorted((early - {"early 0"}) | {"late 1"})


def test_messages_removed_by_mistake(house: House) -> None:
    """The usual request. Clients get them again, once; POP3 clients know them."""
    for number in range(6):
        house.deliver(f"m {number}")
    house.mbsync()
    told = house.messages()
    uidls = house.uidls()
    backups = ("--to", str(house.target))
    house.restante("mail", "backup", USER, *backups)
    house.remove("m 1", "m 2", "m 3")
    house.deliver("m 9")
    house.mbsync()
    assert house.mirrored() == ["m 0", "m 4", "m 5", "m 9"]
    told |= house.messages()
    for _ in range(2):
        house.restante("mail", "restore", USER, "--from", str(house.target))
        now = house.messages()
        assert sorted(now.values()) == [f"m {n}" for n in (0, 1, 2, 3, 4, 5, 9)]
        assert all(told.get(uid, subject) == subject for uid, subject in now.items())
        after = house.uidls()
        assert {uidl: after.get(uidl) for uidl in uidls} == uidls
        house.mbsync()
        assert house.mirrored() == sorted(now.values())


def test_an_account_is_lost_and_comes_back_as_it_was(house: House) -> None:
    """With its UIDs, so that no client reads anything again."""
    for number in range(6):
        house.deliver(f"m {number}")
    with house.imap() as client:
        client.create("INBOX.Work")
        client.copy("1:2", "INBOX.Work")
        client.store("3", "+FLAGS", "(\\Flagged red)")
    house.mbsync()
    told, validity, uidls = house.messages(), house.validity(), house.uidls()
    house.restante("mail", "backup", USER, "--to", str(house.target))
    for name in MAIL:
        house.system[name].stop()
    shutil.rmtree(next(house.system.mail_root.rglob("Maildir")).parent)
    house.restante("mail", "restore", USER, "--from", str(house.target), "--keep-uids")
    for name in MAIL:
        house.system[name].start()
    assert (house.messages(), house.validity(), house.uidls()) == (told, validity, uidls)
    with house.imap() as client:
        assert b"red" in client.fetch("3", "(FLAGS)")[1][0]  # type: ignore[operator]  # a line
        assert client.select("INBOX.Work")[1] == [b"2"]
    house.mbsync()
    house.deliver("m 9")
    house.mbsync()
    assert house.mirrored() == [f"m {n}" for n in (0, 1, 2, 3, 4, 5, 9)]
