"""The IMAP service in a thread of the test's process, on the real store."""

import asyncio
import datetime
import io
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from restante.model import INBOX, Account, ErrorKind, FolderName, MailError, Options, Quota
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.runtime import log
from restante.runtime.limits import SharedCounts
from restante.runtime.log import get_logger
from restante.runtime.settings import ListenAddress
from restante.runtime.worker import WorkerContext
from restante.store.account import MailStore
from restante.store.delivery import Incoming
from restante.store.hints import Hints
from restante.store.volume import create_volume
from services.imap.service import ImapService
from services.imap.settings import ImapSettings
from tests.services.imap.wire import Wire

T = TypeVar("T")

LOG = io.StringIO()
"""What the services in this process log, for tests that look for secrets in it."""

PASSWORD = "secret word"
TOKEN = b"secret-token"  # good for OAUTHBEARER


class Accounts:
    """Stands in for the auth service. `down`: as if it could not be reached."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: dict[str, Account] = {}
        self.down = False
        self.asked: list[str] = []

    def add(
        self, address: str, *, options: str = "", quota: str = "", disabled: bool = False
    ) -> Account:
        """Make an account whose password is PASSWORD."""
        local, _, domain = address.partition("@")
        home = self.root / domain / local[:1] / local[:2] / local
        self.known[address] = Account(
            address,
            os.getuid(),
            os.getgid(),
            home,
            home / "Maildir",
            quota=Quota.parse(quota),
            options=Options.parse(options),
            disabled=disabled,
        )
        return self.known[address]

    async def admit(self, attempt: LoginAttempt) -> Admitted:
        """As AuthClient."""
        self.asked.append(attempt.user)
        if self.down:
            raise MailError(ErrorKind.TEMPORARY, "the auth service cannot be reached")
        account = self.known.get(attempt.user)
        wanted = TOKEN if attempt.mechanism == "oauthbearer" else PASSWORD.encode()
        if account is None or attempt.secret != wanted:
            raise MailError(ErrorKind.AUTH_FAILED)
        if attempt.authorization:
            raise MailError(ErrorKind.PERMISSION, "Acting as another user is not allowed.")
        return Admitted(account)

    async def scram_parameters(
        self, user: str, *, mechanism: str, service: str, peer: str = "", session: str = ""
    ) -> tuple[bytes, int]:
        """As AuthClient."""
        return b"salt", 4096


class Server:
    """A running service. Used from the test's thread; `call` runs a coroutine in its loop."""

    def __init__(self, base: Path, certificate: tuple[Path, Path], **settings: Any) -> None:
        log.configure("info", "console", lambda line: print(line, file=LOG))
        root = base / "mail"
        create_volume(root)
        self.accounts = Accounts(root)
        self.accounts.add("joe@example.test")
        self.settings = ImapSettings(
            data=base,
            mail_root=root,
            tls_certificate=certificate[0],
            tls_key=certificate[1],
            **{
                "listen": ListenAddress("127.0.0.1", 0),
                "tls_listen": ListenAddress("127.0.0.1", 0),
                "drain_seconds": 2,
                **settings,
            },
        )
        self.loop = uvloop.new_event_loop()
        self._outside = MailStore(root, hints=Hints())
        ready = threading.Event()
        self._failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(20)
        if self._failure is not None:
            raise self._failure

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        context = WorkerContext("imap", self.settings, 0, SharedCounts(), get_logger("imap"))
        self.service = ImapService(context, auth=self.accounts)
        try:
            self.loop.run_until_complete(self.service.start())
        except BaseException as error:
            self._failure = error
            ready.set()
            return
        ready.set()
        self.loop.run_forever()
        self.loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the service's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def in_loop(self, work: Callable[[], T]) -> T:
        """Run a function in the service's thread."""

        async def run() -> T:
            return work()

        return self.call(run())

    @property
    def address(self) -> tuple[str, int]:
        """Where IMAP is."""
        return self.service.doors.listeners[0].address.target

    @property
    def tls_address(self) -> tuple[str, int]:
        """Where IMAP over TLS is."""
        return self.service.doors.listeners[1].address.target

    def connect(self, *, tls: bool = False) -> Wire:
        """Connect."""
        return Wire(self.tls_address if tls else self.address, tls=tls)

    def login(self, user: str = "joe@example.test") -> Wire:
        """Connect and log in."""
        wire = self.connect()
        wire.ok(f'LOGIN {user} "{PASSWORD}"')
        return wire

    def select(self, mailbox: str = "INBOX", user: str = "joe@example.test") -> Wire:
        """Connect, log in, select."""
        wire = self.login(user)
        wire.ok(f"SELECT {mailbox}")
        return wire

    def deliver(
        self, message: bytes, user: str = "joe@example.test", folder: FolderName = INBOX
    ) -> str:
        """Deliver as another process does; return the base name."""
        account = self._outside.open_account(self.accounts.known[user])
        account.ensure()
        incoming = Incoming(account)
        incoming.write(message)
        return incoming.deliver(account, folder, last=True).base

    def maildir(self, user: str = "joe@example.test") -> Path:
        """Return the account's Maildir."""
        return self.accounts.known[user].maildir

    def stop(self) -> None:
        """Drain and end the thread."""
        if self.thread.is_alive():
            self.call(self.service.drain())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)
        log.configure()  # other tests of this process look for lines at stderr


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = directory / "cert.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
