"""One POP3 session: its state, and the way of a command through the table.

A handler takes (session, command) and returns bytes, or an iterator of chunks for a message too
large to be sent in one piece. It never sees the socket: the connection writes what it returns, in
order, and acts on `then` (close, start TLS) after the reply is written.

States are those of RFC 1939 section 3. UPDATE is not a state a client can be in: it is what QUIT
does in TRANSACTION. A session that ends in any other way removes nothing.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol, TypeVar

from restante.model import Account, ErrorKind, MailError
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.runtime import counters, tracing
from restante.runtime.connection import Peer
from restante.runtime.log import get_logger, routine
from restante.runtime.upstream import Upstream
from restante.store.identity import Identity
from restante.wire.pop3 import BadLine, Command, RawLine, error
from services.pop3 import metrics
from services.pop3.maildrop import Maildrop
from services.pop3.settings import Pop3Settings

_log = get_logger(__name__)

T = TypeVar("T")

Reply = bytes | Iterator[bytes]
Event = Command | BadLine | RawLine


# Where a session is; as a mask, where a command is allowed. Plain numbers, since an enum's "&"
# costs more than many a command.
AUTHORIZATION: Final = 1
TRANSACTION: Final = 2


class Then(Enum):
    """What the connection does after the reply."""

    CONTINUE = auto()
    CLOSE = auto()
    START_TLS = auto()
    RELAY = auto()


class Backend(Protocol):
    """What a session needs from its worker."""

    settings: Pop3Settings

    @property
    def tls_available(self) -> bool:
        """True where STLS can be offered."""

    async def log_in(self, attempt: LoginAttempt) -> Admitted:
        """Ask auth. Raises MailError(AUTH_FAILED | DISABLED | PERMISSION | TEMPORARY)."""

    async def scram_parameters(self, user: str, mechanism: str, peer: Peer) -> tuple[bytes, int]:
        """Return salt and iterations. Raises MailError(AUTH_FAILED | TEMPORARY)."""

    def early(self, account: Account) -> bool:
        """True where the account logged in less than LOGIN-DELAY seconds ago."""

    async def open(self, account: Account) -> Maildrop:
        """Open the INBOX and take the snapshot. Raises MailError."""

    async def blocking(self, call: Callable[[], T], identity: Identity | None = None) -> T:
        """Run file work in the pool, as the owner of a maildrop."""


@dataclass(slots=True)
class Counts:
    """What the log says at the end."""

    retrieved: int = 0
    top: int = 0
    deleted: int = 0
    octets: int = 0
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the command table."""

    handler: Callable[["Session", Command], Awaitable[Reply]]
    states: int


class Session:
    """State of one connection. `admit` counts the session of an account, or says no."""

    __slots__ = (
        "account",
        "admit",
        "backend",
        "bad_commands",
        "burst",
        "continuation",
        "counts",
        "login_failures",
        "maildrop",
        "note",
        "peer",
        "position",
        "table",
        "then",
        "upstream",
        "user",
    )

    def __init__(
        self,
        backend: Backend,
        peer: Peer,
        table: dict[str, Entry],
        admit: Callable[[str], bool] = lambda _: True,
        note: Callable[..., None] = lambda **_: None,
    ) -> None:
        """`note` takes what `restante who` shows (Connection.note)."""
        self.backend = backend
        self.peer = peer
        self.table = table
        self.admit, self.note = admit, note
        self.then = Then.CONTINUE
        self.account: Account | None = None
        self.maildrop: Maildrop | None = None
        self.upstream: Upstream | None = None  # serves from here on (option mailhost)
        self.user = ""  # given by USER, waiting for PASS
        # Takes the next line while a SASL exchange is on.
        self.continuation: Callable[[bytes], Awaitable[bytes]] | None = None
        self.bad_commands = 0  # in a row
        self.login_failures = 0
        self.burst: Sequence[Event] = ()  # what arrived together
        self.position = 0  # in the burst, behind the command at hand
        self.counts = Counts()

    @property
    def state(self) -> int:
        """AUTHORIZATION until a login has opened the maildrop."""
        return AUTHORIZATION if self.maildrop is None else TRANSACTION

    @property
    def read_only(self) -> bool:
        """True for a login that may read, and change nothing."""
        return self.account is not None and self.account.read_only

    @property
    def mailbox(self) -> Maildrop:
        """The maildrop; only in TRANSACTION, which the table sees to."""
        assert self.maildrop is not None  # noqa: S101 - the table allows no other state
        return self.maildrop

    async def handle(self, event: Event) -> Reply:
        """Answer one event. Never raises MailError."""
        if type(event) is Command:
            entry = self.table.get(event.name)
            if entry is None:
                metrics.UNREADABLE.inc()
                return self._bad("Invalid command.")
            started = time.perf_counter()
            if not entry.states & self.state:
                return self._bad("Command is not valid in this state.")
            try:
                reply = await entry.handler(self, event)
            except MailError as fault:
                metrics.FAILED.labels(event.name).inc()
                counters.error(fault)
                return self._refuse(fault)
            self.bad_commands = 0
            spent = time.perf_counter() - started
            metrics.COMMAND.labels(event.name).observe(spent)
            if spent >= tracing.SLOW:
                session = self.peer.session
                tracing.slow(f"pop3 {event.name}", spent, session=session, user=self._name)
            return reply
        if type(event) is RawLine:
            continuation, self.continuation = self.continuation, None
            if continuation is not None:
                return await continuation(event.data)
        return self._bad(event.text if isinstance(event, BadLine) else "Invalid command.")

    def forget_before_tls(self) -> None:
        """Drop what was said in clear (RFC 2595 section 4)."""
        self.user = ""
        self.continuation = None

    def _bad(self, text: str) -> bytes:
        self.bad_commands += 1
        if self.bad_commands >= self.backend.settings.max_bad_commands:
            self.then = Then.CLOSE
            return error("Too many bad commands.")
        return error(text)

    def _refuse(self, fault: MailError) -> bytes:
        if fault.kind is ErrorKind.BAD_REQUEST:
            return self._bad(fault.text)
        return refusal(fault)

    async def end(self) -> None:
        """The connection is over, in whatever way: write Seen marks, let the folder go."""
        maildrop, self.maildrop = self.maildrop, None
        if maildrop is None:
            return
        try:
            if maildrop.has_update:
                await self.backend.blocking(
                    lambda: maildrop.finish(update=False), maildrop.identity
                )
        except MailError as fault:
            _log.warning(
                "seen marks not written",
                session=self.peer.session,
                user=self._name,
                reason=fault.text,
            )
        finally:
            if not maildrop.try_close():
                await self.backend.blocking(maildrop.close)
            self._tell_first_reads(maildrop)
            counts = self.counts
            metrics.RETRIEVED.inc(counts.retrieved)
            metrics.DELETED.inc(counts.deleted)
            metrics.OCTETS.inc(counts.octets)
            routine(
                "logout",
                session=self.peer.session,
                user=self._name,
                peer=self.peer.address,
                retr=counts.retrieved,
                top=counts.top,
                deleted=counts.deleted,
                octets=counts.octets,
                seconds=round(time.monotonic() - counts.started, 3),
            )

    def _tell_first_reads(self, maildrop: Maildrop) -> None:
        """One line for each message that nobody had read, of the first ones; then their number."""
        ids, more = maildrop.first_read()
        who = {"session": self.peer.session, "user": self._name, "service": "pop3"}
        for id in ids:
            routine("first read", id=id, **who, folder="INBOX")
        if more:
            routine("first read", more=more, **who, folder="INBOX")

    @property
    def _name(self) -> str:
        return self.account.address if self.account else ""


_CODES = {
    ErrorKind.AUTH_FAILED: "AUTH",
    ErrorKind.TEMPORARY: "SYS/TEMP",
    ErrorKind.LIMIT: "SYS/TEMP",
    ErrorKind.IN_USE: "SYS/TEMP",
    ErrorKind.INTERNAL: "SYS/TEMP",
    ErrorKind.CORRUPT: "SYS/PERM",
}


def refusal(fault: MailError) -> bytes:
    """-ERR with the response code of the kind (RFC 2449 section 8, RFC 3206)."""
    return error(fault.text, _CODES.get(fault.kind, ""))
