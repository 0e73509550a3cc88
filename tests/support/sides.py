"""Two sides of one mail volume that must agree: replicas of two releases, by network alone."""

import contextlib
import imaplib
import poplib
import re
import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.support.system import unique_message

PATIENCE: Final = 60  # seconds; a bound against hanging, nothing is measured


class Side:
    """One user at one replica of delivery, IMAP and POP3."""

    def __init__(self, address: Callable[[str], tuple[str, int]], user: str, password: str) -> None:
        """`address` gives (host, port) of "imap", "pop3" and "lmtp"."""
        self.address, self.user, self.password = address, user, password

    @contextmanager
    def imap(self, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
        client = imaplib.IMAP4(*self.address("imap"), timeout=PATIENCE)
        try:
            client.login(self.user, self.password)
            assert client.select(folder)[0] == "OK"
            yield client
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.logout()

    def deliver(self, subject: str) -> None:
        with smtplib.LMTP(*self.address("lmtp"), timeout=PATIENCE) as client:
            assert client.sendmail("a@example.test", [self.user], unique_message(subject)) == {}

    def works(self) -> bool:
        """Tell whether deliveries and logins are taken: False for what may be tried again."""
        host, port = self.address("lmtp")
        try:
            with smtplib.LMTP(host, port, timeout=PATIENCE) as client:
                client.ehlo()
                client.mail("a@example.test")
                code, _ = client.rcpt(self.user)
            with self.imap():
                self.uidls()
        except (OSError, imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException):
            return False
        return code == 250

    def uidls(self) -> list[bytes]:
        client = poplib.POP3(*self.address("pop3"), timeout=PATIENCE)
        try:
            client.user(self.user)
            client.pass_(self.password)
            return [line.split()[1] for line in client.uidl()[1]]
        finally:
            client.quit()

    def messages(self, folder: str = "INBOX") -> dict[int, tuple[str, frozenset[bytes]]]:
        """Return subject and flags by UID."""
        with self.imap(folder) as client:
            return listed(client)

    def state(self, folder: str = "INBOX") -> tuple[object, ...]:
        """Return all that must be the same everywhere."""
        with self.imap(folder) as client:
            found = listed(client)
            status = client.status(folder, "(UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)")[1]
            return found, status


def listed(client: imaplib.IMAP4) -> dict[int, tuple[str, frozenset[bytes]]]:
    client.noop()
    found = {}
    _, lines = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    for item in lines:
        if isinstance(item, tuple):
            uid = re.search(rb"UID (\d+)", item[0])
            subject = re.search(rb"Subject: (.*?)\r", item[1])
            assert uid is not None
            assert subject is not None
            flags = frozenset(imaplib.ParseFlags(item[0])) - {b"\\Recent"}
            found[int(uid[1])] = subject[1].decode(), flags
    return found


def wait_for(client: imaplib.IMAP4, count: int) -> None:
    """IDLE until the folder has so many messages."""
    tag = client._new_tag()
    client.send(tag + b" IDLE\r\n")
    assert client.readline().startswith(b"+")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        line = client.readline()
        found = re.match(rb"\* (\d+) EXISTS", line)
        if found and int(found[1]) >= count:
            break
    else:
        pytest.fail("nothing was pushed")
    client.send(b"DONE\r\n")
    while not client.readline().startswith(tag):
        pass


def work_together(one: Side, two: Side, round_: str) -> None:
    """Do everything on one that the other must see, and the other way round."""
    for number in range(6):
        (one, two)[number % 2].deliver(f"{round_}-{number}")
    assert one.state() == two.state()
    assert one.uidls() == two.uidls()
    with one.imap() as here, two.imap() as there:
        uids = sorted(listed(here))
        here.uid("STORE", str(uids[-1]), "+FLAGS", f"(\\Flagged kw{round_})")
        there.uid("STORE", str(uids[-2]), "+FLAGS", "(\\Answered)")
        there.uid("STORE", str(uids[-3]), "+FLAGS", "(\\Deleted)")
        assert listed(here) == listed(there)
        assert listed(here)[uids[-1]][1] == {b"\\Flagged", f"kw{round_}".encode()}
        here.expunge()
        assert listed(there).keys() == set(uids) - {uids[-3]}
        there.uid("COPY", str(uids[-1]), "INBOX.Archive")
        here.uid("COPY", str(uids[-2]), "INBOX.Archive")
        there.uid("MOVE", str(uids[-4]), "INBOX.Archive")
        assert listed(here) == listed(there)
        there.append("INBOX", "(\\Seen appended)", None, unique_message(f"{round_}-appended"))
        assert listed(here) == listed(there)
        count = len(listed(there))
        one.deliver(f"{round_}-pushed")
        wait_for(there, count + 1)
        two.deliver(f"{round_}-pushed too")
        wait_for(here, count + 2)
    assert one.state() == two.state()
    assert one.state("INBOX.Archive") == two.state("INBOX.Archive")
