"""A worker without a store and without auth: POP3 sessions at the wire, in the test's own loop."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from restante.model import Account, ErrorKind, Flag, MailError, Options
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.runtime.address import ListenAddress
from restante.runtime.connection import Peer
from restante.runtime.limits import ConnectionLimits
from restante.runtime.listener import Listener, listen
from restante.runtime.tls import TlsContexts
from restante.store.changes import Change, StoreMode, StoreResult
from restante.store.columns import Columns
from restante.store.identity import Identity
from restante.store.mailbox import Mailbox
from services.pop3.connection import BUSY, Pop3Connection
from services.pop3.maildrop import Maildrop
from services.pop3.settings import Pop3Settings

T = TypeVar("T")

ADDRESS = "fred@example.test"
PASSWORD = "secret 1"
TOKEN = "secret-token"  # good for OAUTHBEARER


class FakeMailbox:
    """What a Maildrop asks of a Mailbox."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self.columns = Columns(Change(0))
        self.messages: dict[int, bytes] = {}
        for uid, wire in enumerate(messages, 1):
            self.columns.append(uid, 0, 0, 1, len(wire), 0, f"base{uid}".encode())
            self.messages[uid] = wire
        self.reads: list[int] = []
        self.seen: list[int] = []
        self.removed: list[int] = []
        self.fault: MailError | None = None
        self.users = 1
        self.identity: Identity | None = None

    def read(self, uid: int) -> bytes:
        if self.fault is not None:
            raise self.fault
        if uid not in self.messages:
            raise MailError(ErrorKind.GONE)
        self.reads.append(uid)
        return self.messages[uid]

    def uidl(self, row: int, columns: Columns) -> str:
        return columns.base(row).decode()

    def remove(self, uids: Sequence[int]) -> list[int]:
        if self.fault is not None:
            raise self.fault
        self.removed += uids
        return list(uids)

    def store(self, uids: Sequence[int], mode: StoreMode, flags: Flag) -> StoreResult:
        assert (mode, flags) == (StoreMode.ADD, Flag.SEEN)
        self.seen += uids
        names = [self.columns.base(self.columns.find(uid)) for uid in uids]
        return StoreResult(list(uids), seen=len(uids), read=names)

    def read_cached(self, uid: int) -> bytes | None:
        return None

    def release(self) -> None:
        self.users -= 1

    def try_release(self) -> bool:
        self.release()
        return True


class FakeBackend:
    """The Backend of services.pop3.session."""

    def __init__(self, messages: Sequence[bytes] = (), **settings: object) -> None:
        self.settings = Pop3Settings(**cast(Any, settings))
        self.mailbox = FakeMailbox(messages)
        self.tls: TlsContexts | None = None
        self.options = ""
        self.disabled = False
        self.read_only = False
        self.fault: MailError | None = None
        self.asked: list[tuple[str, str, str, bool]] = []
        self.hops = 0
        self.is_early = False

    @property
    def tls_available(self) -> bool:
        return self.tls is not None

    async def log_in(self, attempt: LoginAttempt) -> Admitted:
        user, password = attempt.user, attempt.secret.decode()
        self.asked.append((user, password, attempt.mechanism, attempt.tls))
        if self.fault is not None:
            raise self.fault
        wanted = TOKEN if attempt.mechanism == "oauthbearer" else PASSWORD
        if (user, password) != (ADDRESS, wanted):
            raise MailError(ErrorKind.AUTH_FAILED)
        if attempt.authorization:
            raise MailError(ErrorKind.PERMISSION, "Acting as another user is not allowed.")
        home = Path("/nonexistent")
        account = Account(
            ADDRESS,
            1,
            1,
            home,
            home / "Maildir",
            options=Options.parse(self.options),
            disabled=self.disabled,
            read_only=self.read_only,
        )
        return Admitted(account)

    async def scram_parameters(self, user: str, mechanism: str, peer: Peer) -> tuple[bytes, int]:
        return b"salt", 4096

    def early(self, account: Account) -> bool:
        return self.is_early

    async def open(self, account: Account) -> Maildrop:
        self.hops += 1
        return Maildrop(cast(Mailbox, self.mailbox))

    async def blocking(self, call: Callable[[], T], identity: Identity | None = None) -> T:
        self.hops += 1
        return call()


class Server:
    """A listener with a fake backend; `async with`."""

    def __init__(self, backend: FakeBackend, limits: ConnectionLimits | None = None) -> None:
        self.backend = backend
        self.limits = limits
        self.listener: Listener

    async def __aenter__(self) -> "Server":
        self.listener = await listen(
            ListenAddress("127.0.0.1", 0),
            lambda listener: Pop3Connection(listener, self.backend),
            tls=self.backend.tls,
            limits=self.limits,
            busy=BUSY,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.drain(0)

    async def connect(self) -> "Client":
        host, port = self.listener.address.target
        reader, writer = await asyncio.open_connection(host, port)
        return Client(reader, writer)

    async def log_in(self) -> "Client":
        client = await self.connect()
        await client.line()
        client.send(f"USER {ADDRESS}\r\nPASS {PASSWORD}\r\n".encode())
        assert await client.line() == b"+OK Password required."
        assert await client.line() == b"+OK logged in."
        return client


class Client:
    """Raw bytes both ways."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def line(self) -> bytes:
        """One line without CRLF; b"" at the end of the stream."""
        line = await asyncio.wait_for(self.reader.readline(), 10)
        assert not line or line.endswith(b"\r\n")
        return line[:-2]

    async def ask(self, command: bytes) -> bytes:
        self.send(command + b"\r\n")
        return await self.line()

    async def block(self) -> list[bytes]:
        """Lines up to the terminator, as they came."""
        lines = []
        while (line := await self.line()) != b".":
            # An empty line of a message is fine, the end of the stream is not.
            assert line or not self.reader.at_eof(), "cut in the middle of a reply"
            lines.append(line)
        return lines

    async def ended(self) -> bool:
        """True when the server closes without another byte."""
        return await asyncio.wait_for(self.reader.read(), 10) == b""
