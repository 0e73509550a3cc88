"""A mail volume without room: mail waits, reading and deleting go on, then everything arrives."""

import imaplib
import poplib
import random
import smtplib
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.e2e import volumes
from tests.e2e.campaign import doors
from tests.e2e.faults import TOLERATED
from tests.e2e.load import PASSING, SENDER, Load, Try, read_everything
from tests.e2e.promises import Promises
from tests.e2e.stack import PASSWORD, Stack, wait_until

pytestmark = pytest.mark.e2e

FRED, ANN = "fred@example.test", "ann@example.test"
_FILL = """
import errno, os
fd = os.open('/srv/mail/filler', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
for size in (1 << 20, 4096, 1):
    try:
        while True:
            os.write(fd, b'x' * size)
    except OSError as error:
        assert error.errno == errno.ENOSPC
"""


@pytest.fixture(scope="module")
def small() -> Iterator[Stack]:
    """Return a stack with a mail volume of 24 MB."""
    replicas = {"auth": 1, "delivery": 2, "imap": 1, "pop3": 1}
    with Stack(replicas=replicas, mail=volumes.small(24)) as stack:
        for address in (FRED, ANN, SENDER):
            stack.add_account(address)
        yield stack


def login(stack: Stack, user: str) -> imaplib.IMAP4:
    """Log in and open INBOX."""
    client = imaplib.IMAP4(*stack.address("imap", 1143), timeout=30)
    client.login(user, PASSWORD)
    assert client.select()[0] == "OK"
    return client


def test_a_full_volume(small: Stack) -> None:
    promises = Promises()
    load = Load(doors(small), [FRED], promises)
    one, two = Try(random.Random(1), [FRED]), Try(random.Random(2), [FRED])
    for _ in range(10):
        load.lmtp(one)
        load.hook(two)
    login(small, FRED).logout()

    delivery = small.nodes["delivery-1"]
    phase = promises.begin("full", "mail volume")
    delivery.run("python3", "-c", _FILL)
    for job, client in ((load.lmtp, one), (load.hook, two), (load.lmtp, one)):
        with pytest.raises(PASSING):  # a permanent refusal is none of them
            job(client)
        promises.refused()

    # Reading works, with a new session and with the flags that reading sets.
    imap = login(small, FRED)
    assert len(imap.fetch("1:*", "(BODY.PEEK[])")[1]) >= 20
    pop3 = poplib.POP3(*small.address("pop3", 1110), timeout=30)
    pop3.user(FRED)
    pop3.pass_(PASSWORD)
    assert pop3.stat()[0] == 20
    assert pop3.retr(20)[0].startswith(b"+OK")

    # Deleting works, by either way.
    with suppress(imaplib.IMAP4.error):
        imap.store("1", "+FLAGS", "\\Seen")
    for number in ("2", "20"):
        promises.forget(imap.fetch(number, "(BODY.PEEK[])")[1][0][1])  # type: ignore[index,arg-type]  # a literal
    pop3.dele(20)
    assert pop3.quit().startswith(b"+OK")
    assert imap.store("2", "+FLAGS", "\\Deleted")[0] == "OK"
    assert imap.expunge()[0] == "OK"
    assert login(small, FRED).select()[1] == [b"18"]

    delivery.run("python3", "-c", "import os; os.unlink('/srv/mail/filler')")
    ended = threading.Event()

    def send(job: Callable[[Try], None], client: Try) -> None:
        while not ended.wait(0.05):
            with suppress(*PASSING):
                job(client)
                return

    for job, client in ((load.lmtp, one), (load.hook, two)):
        thread = threading.Thread(target=send, args=(job, client))
        thread.start()
        thread.join(TOLERATED)
        late = thread.is_alive()
        if late:
            ended.set()
        assert not late, "mail that waited is not taken"
    promises.settle(read_everything(small.address("imap", 1143), [FRED], promises))
    print("\n" + promises.table())
    assert phase.promises == 2
    assert phase.lost == 0
    assert promises.broken == []


def test_a_new_mailbox_on_a_full_volume(small: Stack) -> None:
    """A first delivery needs room for a whole Maildir: it waits, and then works."""
    delivery = small.nodes["delivery-1"]
    delivery.run("python3", "-c", _FILL)
    host, port = small.address("delivery", 2424)
    with smtplib.LMTP(host, port, timeout=30) as client:
        with pytest.raises(smtplib.SMTPException) as refused:
            client.sendmail(SENDER, [ANN], b"Subject: first\r\n\r\nfirst\r\n")
        code = getattr(refused.value, "smtp_code", 0)
        assert 400 <= code < 500, refused.value
    delivery.run("python3", "-c", "import os; os.unlink('/srv/mail/filler')")

    def accepted() -> bool:
        with suppress(*PASSING), smtplib.LMTP(host, port, timeout=30) as client:
            client.sendmail(SENDER, [ANN], b"Subject: first\r\n\r\nfirst\r\n")
            return True
        return False

    wait_until("the first delivery works", accepted, 10)
    assert login(small, ANN).search(None, "ALL")[1] == [b"1"]
