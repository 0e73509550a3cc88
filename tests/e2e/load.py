"""Clients that work all the time: they send, append, read and log in, and note what they are told.

Senders behave as mail servers do: a message that was not acknowledged is sent again, the same one,
until it is. Nothing that a passing fault may do to a client is an error here; a permanent refusal
is. Each kind of work is done by one or more threads that make a new connection each time, so that
the moment is known from which on a new client succeeds.
"""

import http.client
import imaplib
import poplib
import random
import smtplib
import ssl
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tests.e2e.promises import Promises, message
from tests.e2e.stack import PASSWORD
from tests.faults.ledger import token_of
from tests.support.reading import read_tokens

PASSING: Final = (
    OSError,
    EOFError,
    smtplib.SMTPException,
    imaplib.IMAP4.error,
    poplib.error_proto,
    http.client.HTTPException,
)
SENDER: Final = "sender@example.test"  # an account: bounces come back to it
TIMEOUT: Final = 6.0  # seconds that a client waits for an answer
_PAUSE: Final = 0.05  # seconds between two tries: a few hundred connections a second do no good
_ANY_CERTIFICATE: Final = ssl.create_default_context()
_ANY_CERTIFICATE.check_hostname = False
_ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE

Address = tuple[str, int]


class _PermanentError(Exception):
    """A permanent refusal of what is good."""


@dataclass(frozen=True)
class Doors:
    """Where clients go; more than one address: any of them. A door without address is not used."""

    lmtp: Sequence[Address] = ()
    imap: Sequence[Address] = ()
    pop3: Sequence[Address] = ()
    smtp: Sequence[Address] = ()
    hook: Sequence[Address] = ()
    webmail: Sequence[Address] = ()
    hook_token: str = ""


@dataclass
class Load:
    """The clients of some accounts, as a context."""

    doors: Doors
    accounts: Sequence[str]
    promises: Promises
    threads: list[threading.Thread] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        for kind, (job, count) in self.jobs().items():
            for _ in range(count):
                thread = threading.Thread(target=self._repeat, args=(kind, job), daemon=True)
                thread.start()
                self.threads.append(thread)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"
        for fault in self.faults:
            raise fault

    @property
    def kinds(self) -> list[str]:
        """The kinds of work that are done."""
        return list(self.jobs())

    def jobs(self) -> Mapping[str, tuple[Callable[["Try"], None], int]]:
        """Return what is done, and by how many threads."""
        doors = self.doors
        return {
            **({"LMTP": (self.lmtp, 2)} if doors.lmtp else {}),
            **({"SMTP": (self.smtp, 2)} if doors.smtp else {}),
            **({"HTTP hook": (self.hook, 1)} if doors.hook else {}),
            **({"APPEND": (self.append, 1), "IMAP": (self.read_imap, 2)} if doors.imap else {}),
            **({"POP3": (self.read_pop3, 2)} if doors.pop3 else {}),
            **({"web": (self.webmail, 1)} if doors.webmail else {}),
        }

    def _repeat(self, kind: str, job: Callable[["Try"], None]) -> None:
        one = Try(random.Random(f"{kind}{threading.get_ident()}"), self.accounts)
        while not self._stop.is_set():
            one.begun = time.monotonic()
            try:
                job(one)
                self.promises.success(kind, one.begun)
            except _PermanentError as error:
                self.promises.bounce(f"{kind}: {error}")
            except PASSING:
                self.promises.refused()
            except BaseException as fault:  # a broken client breaks the test
                self.faults.append(fault)
                return
            self._stop.wait(_PAUSE)

    # --- senders ----------------------------------------------------------------------------

    def lmtp(self, one: "Try") -> None:
        """One message to delivery."""
        host, port = one.pick(self.doors.lmtp)
        with smtplib.LMTP(host, port, timeout=TIMEOUT) as client:
            self._send(client, one)

    def smtp(self, one: "Try") -> None:
        """One message to exim, as from another mail server."""
        host, port = one.pick(self.doors.smtp)
        with smtplib.SMTP(host, port, "outside.test", timeout=TIMEOUT) as client:
            self._send(client, one)

    def _send(self, client: smtplib.SMTP, one: "Try") -> None:
        account, token, text = one.mail()
        try:
            client.sendmail(SENDER, [account], text)
        except smtplib.SMTPRecipientsRefused as error:
            codes = error.recipients.values()
            if any(code >= 500 for code, _ in codes):
                raise _PermanentError(str(list(codes))) from None
            raise
        except smtplib.SMTPResponseException as error:
            if error.smtp_code >= 500:
                raise _PermanentError(str(error)) from None
            raise
        self.promises.promise(token, text, account)
        one.done()

    def hook(self, one: "Try") -> None:
        """One message by HTTP."""
        account, token, text = one.mail()
        query = urllib.parse.urlencode({"sender": SENDER, "recipient": account})
        client = http.client.HTTPConnection(*one.pick(self.doors.hook), timeout=TIMEOUT)
        try:
            headers = {
                "Content-Type": "message/rfc822",
                "Authorization": f"Bearer {self.doors.hook_token}",
            }
            client.request("POST", f"/v1/deliver?{query}", text, headers)
            answer = client.getresponse()
            said = answer.read()
        finally:
            client.close()
        if 400 <= answer.status < 500 and answer.status not in (408, 429):
            raise _PermanentError(f"{answer.status} {said!r}")
        if answer.status != 200:
            raise OSError(f"{answer.status}")
        self.promises.promise(token, text, account)
        one.done()

    # --- readers ----------------------------------------------------------------------------

    def imap(self, one: "Try", account: str) -> imaplib.IMAP4:
        """Log in."""
        client = imaplib.IMAP4(*one.pick(self.doors.imap), timeout=TIMEOUT)
        try:
            client.login(account, PASSWORD)
        except imaplib.IMAP4.error as error:
            if "AUTHENTICATIONFAILED" in str(error):
                raise _PermanentError(str(error)) from None
            raise
        return client

    def append(self, one: "Try") -> None:
        """APPEND to a folder of its own."""
        account, token, text = one.mail()
        client = self.imap(one, account)
        try:
            status, said = client.append("INBOX.Archive", "(\\Seen)", "", text)
            if status != "OK":
                raise OSError(str(said))
            self.promises.promise(token, text, account, "INBOX.Archive")
            one.done()
        finally:
            with suppress(*PASSING):
                client.shutdown()

    def read_imap(self, one: "Try") -> None:
        """See the newest messages under their UIDs, flag one."""
        account = one.dice.choice(self.accounts)
        client = self.imap(one, account)
        try:
            for uid, _ in read_tokens(client, account, "INBOX", self.promises, last=10):
                if one.dice.random() < 0.1:
                    client.uid("STORE", str(uid), "+FLAGS", "(\\Flagged)")
        finally:
            with suppress(*PASSING):
                client.shutdown()

    def read_pop3(self, one: "Try") -> None:
        """Retrieve the newest messages; each must be whole."""
        client = poplib.POP3(*one.pick(self.doors.pop3), timeout=TIMEOUT)
        try:
            client.user(one.dice.choice(self.accounts))
            try:
                client.pass_(PASSWORD)
            except poplib.error_proto as error:
                if "[AUTH]" in str(error):
                    raise _PermanentError(str(error)) from None
                raise
            count, _ = client.stat()
            for number in range(max(1, count - 2), count + 1):
                text = b"".join(line + b"\r\n" for line in client.retr(number)[1])
                if b"X-Token" in text and token_of(text) is None:
                    self.promises.broken.append(f"torn by POP3: {text[:200]!r}")
            client.quit()
        finally:
            with suppress(*PASSING):
                client.close()

    def webmail(self, one: "Try") -> None:
        """The first page."""
        client = http.client.HTTPSConnection(
            *one.pick(self.doors.webmail), timeout=TIMEOUT, context=_ANY_CERTIFICATE
        )
        try:
            client.request("GET", "/")
            answer = client.getresponse()
            answer.read()
        finally:
            client.close()
        if answer.status != 200:
            raise OSError(f"{answer.status}")


@dataclass
class Try:
    """One client's dice and the message that it still has to get rid of."""

    dice: random.Random
    accounts: Sequence[str]
    begun: float = 0.0
    _mail: tuple[str, str, bytes] | None = None

    def pick(self, addresses: Sequence[Address]) -> Address:
        """Return one of some addresses."""
        return self.dice.choice(addresses)

    def mail(self) -> tuple[str, str, bytes]:
        """Return (account, token, message); the same again until `done`."""
        if self._mail is None:
            account, token = self.dice.choice(self.accounts), uuid.uuid4().hex
            size = self.dice.choice((300, 4000, 4000, 4000, 4000, 150_000))
            self._mail = account, token, message(token, size, account)
        return self._mail

    def done(self) -> None:
        """It was acknowledged."""
        self._mail = None


def read_everything(
    address: Address, accounts: Sequence[str], promises: Promises
) -> dict[tuple[str, str], list[bytes]]:
    """Return all messages of ours, {(account, folder): messages}; bounces are counted."""
    kept: dict[tuple[str, str], list[bytes]] = {}
    for account in accounts:
        client = imaplib.IMAP4(*address, timeout=60)
        client.login(account, PASSWORD)
        for folder in ("INBOX", "INBOX.Archive"):
            with suppress(OSError):  # no Archive
                kept[account, folder] = [
                    text for _, text in read_tokens(client, account, folder, promises)
                ]
        client.logout()
    client = imaplib.IMAP4(*address, timeout=60)
    client.login(SENDER, PASSWORD)
    count = int(client.select("INBOX")[1][0] or 0)
    if count:
        for part in client.fetch(f"1:{count}", "(BODY.PEEK[])")[1]:
            if isinstance(part, tuple):
                promises.returned(part[1])
    client.logout()
    return kept
