"""The LMTP hook (RFC 2033): session, commands, state table. For the socket see lmtp_connection.py.

One reply per accepted recipient after DATA or BDAT LAST, in the order of RCPT. A session is sans
socket: `handle(event)` returns the bytes of the replies; the connection collects those of a batch
of commands into one write.

State: READY after LHLO, MAIL after MAIL, RCPT after the first accepted recipient; a chunked
message (BDAT) keeps it until the last chunk. LHLO, RSET, STARTTLS and the end of a message go back.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from time import perf_counter
from typing import Any, Final

from restante.model import Envelope, ErrorKind, MailError, spans
from restante.runtime import counters
from restante.runtime.connection import Peer
from restante.runtime.log import get_logger
from restante.wire.lmtp import (
    BadCommand,
    Bdat,
    ChunkEnd,
    Content,
    Data,
    DataEnd,
    Event,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Reply,
    Rset,
    StartTls,
    Vrfy,
    Xclient,
    is_hello,
)
from services.delivery import metrics
from services.delivery.deliver import Depot, Message, Result
from services.delivery.recipients import Recipients, Target
from services.delivery.settings import DeliverySettings

_log = get_logger(__name__)


# Where a session is; as a mask, where a command is allowed. Plain numbers, since an enum's "&"
# costs more than many a command.
NEW: Final = 1  # LHLO is due
READY: Final = 2
MAIL: Final = 4
RCPT: Final = 8
ANY: Final = NEW | READY | MAIL | RCPT


class Then(Enum):
    """What the connection does after the reply."""

    CONTINUE = auto()
    CLOSE = auto()
    START_TLS = auto()
    READ_DATA = auto()


@dataclass(slots=True)
class Backend:
    """What sessions share in a worker."""

    settings: DeliverySettings
    depot: Depot
    recipients: Recipients
    tls_available: bool = False


@dataclass(slots=True)
class Transaction:
    """One mail transaction (RFC 5321 section 3.3)."""

    mail: Mail
    targets: list[Target] = field(default_factory=list)
    message: Message | None = None  # once DATA or the first BDAT was accepted


class Session:
    """State of one connection."""

    __slots__ = (
        "backend",
        "bad_commands",
        "client",
        "client_helo",
        "helo",
        "peer",
        "span",
        "swallow",
        "then",
        "transaction",
    )

    def __init__(self, backend: Backend, peer: Peer) -> None:
        self.backend = backend
        self.peer = peer
        self.then = Then.CONTINUE
        self.client = peer.address  # what Received says; XCLIENT may change both
        self.client_helo = ""
        self.helo = ""
        self.transaction: Transaction | None = None
        self.span: spans.Span | None = None  # of the transaction, where it is traced
        self.bad_commands = 0
        self.swallow = False  # a refused BDAT chunk is being read

    @property
    def state(self) -> int:
        """The state that the table goes by."""
        if self.transaction is None:
            return READY if self.helo else NEW
        return RCPT if self.transaction.targets else MAIL

    @property
    def greeting(self) -> bytes:
        """The first line."""
        return Reply(220, "", f"{self.backend.settings.hostname} LMTP Restante ready").encode()

    async def handle(self, event: Event) -> bytes:
        """Answer one event; b"" where none is due. Never raises MailError."""
        if type(event) is Content:
            return await self._content(event)
        if type(event) is DataEnd:
            return await self._data_end(event)
        if type(event) is ChunkEnd:
            return await self._chunk_end(event)
        if type(event) is BadCommand:
            metrics.UNREADABLE.inc()
            return self._bad(Reply(event.code, event.status, event.text))
        entry, (seconds, failures) = TABLE[type(event)], _COUNTED[type(event)]
        if not entry.states & self.state and type(event) is not Bdat:
            failures.inc()
            return self._bad(_out_of_order(self.state))
        started = perf_counter()
        try:
            reply = await entry.handler(self, event)
        except MailError as fault:
            failures.inc()
            return self.reply_of(fault).encode()
        if reply is None:
            return b""
        seconds.observe(perf_counter() - started)
        if reply.code >= 400:
            failures.inc()
        if reply.code < 500:
            self.bad_commands = 0
        return reply.encode()

    def reply_of(self, fault: MailError) -> Reply:
        """Map an error by the settings."""
        counters.error(fault)
        return Reply.of(fault, over_quota=self.backend.settings.over_quota)

    async def reset(self) -> None:
        """Forget the transaction."""
        transaction, self.transaction = self.transaction, None
        if transaction is not None:  # else what was begun ahead is that of the next MAIL
            self.end_trace()
        if transaction is not None and transaction.message is not None:
            await transaction.message.abort()

    def trace(self) -> None:
        """Begin the span of a transaction, unless it has one or nothing is traced."""
        if self.span is None and spans.on():
            self.span = spans.span(
                "lmtp transaction", "server", session=self.peer.session, peer=self.client
            )

    def end_trace(self) -> None:
        """End the span of a transaction, if there is one."""
        if self.span is not None:
            self.span.end()
            self.span = None

    def forget_before_tls(self) -> None:
        """Drop what was said in clear (RFC 3207 section 4.2)."""
        self.helo = ""
        self.transaction = None
        self.then = Then.CONTINUE

    def start_message(self, transaction: Transaction) -> Message:
        """Recipients are complete: make the message."""
        with_ = "LMTPS" if self.peer.tls else "LMTP"
        if transaction.mail.smtputf8:
            with_ = "UTF8" + with_  # RFC 6531 section 3.7.3
        envelope = Envelope(
            transaction.mail.sender,
            tuple(t.recipient for t in transaction.targets),
            self.client,
            self.client_helo or self.helo,
            with_,
        )
        transaction.message = Message(
            self.backend.depot,
            envelope,
            transaction.targets,
            session=self.peer.session,
            mta_id=None,
        )
        return transaction.message

    # --- message bytes ----------------------------------------------------------------------------

    async def _content(self, event: Content) -> bytes:
        message = self.transaction.message if self.transaction is not None else None
        if message is not None and not self.swallow and message.hold(event.data):
            await message.flush()
        return b""

    async def _data_end(self, event: DataEnd) -> bytes:
        transaction = self.transaction
        assert transaction is not None  # noqa: S101 - DATA is only accepted inside of one
        assert transaction.message is not None  # noqa: S101 - made when DATA was accepted
        if event.bare and self.backend.depot.refuse_bare:
            transaction.message.refuse(
                MailError(ErrorKind.CANNOT, "A CR or LF stands alone in the message")
            )
        return await self._finish(transaction)

    async def _chunk_end(self, event: ChunkEnd) -> bytes:
        transaction = self.transaction
        if self.swallow:
            self.swallow = False
            return b""  # answered when the command came
        assert transaction is not None  # noqa: S101 - else the chunk was swallowed
        if event.last:
            return await self._finish(transaction)
        return Reply(250, "2.0.0", "Go on").encode()

    async def _finish(self, transaction: Transaction) -> bytes:
        message = transaction.message
        assert message is not None  # noqa: S101 - called with one only
        self.transaction = None
        try:
            results = await message.finish()
        finally:
            self.end_trace()
        return b"".join([self._result(message, result) for result in results])

    def _result(self, message: Message, result: Result) -> bytes:
        recipient = result.target.recipient
        if result.error is None:
            return f"250 2.1.5 <{recipient}> delivered as {message.id}\r\n".encode()
        reply = self.reply_of(result.error)
        return Reply(reply.code, reply.status, f"<{recipient}> {reply.text}").encode()

    def _bad(self, reply: Reply) -> bytes:
        self.bad_commands += 1
        if self.bad_commands >= self.backend.settings.max_bad_commands:
            self.then = Then.CLOSE
            return Reply(421, "4.7.0", "Too many bad commands").encode()
        return reply.encode()


# --- commands -------------------------------------------------------------------------------------


async def lhlo(session: Session, command: Lhlo) -> Reply:
    """LHLO (RFC 2033 section 4.1): like EHLO it also resets."""
    await session.reset()
    session.helo = command.name
    settings = session.backend.settings
    keywords = [
        "PIPELINING",
        f"SIZE {settings.max_message_size}",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
        "DSN",
    ]
    if settings.ignore_quota:
        keywords.append("IGNOREQUOTA")
    if session.backend.tls_available and not session.peer.tls:
        keywords.append("STARTTLS")
    if _is_trusted(session):
        keywords.append("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT")
    return Reply(250, "", settings.hostname, tuple(keywords))


async def mail(session: Session, command: Mail) -> Reply:
    """MAIL FROM: a transaction begins."""
    settings = session.backend.settings
    if settings.tls_required and not session.peer.tls and session.peer.address != "unix":
        raise MailError(ErrorKind.PRIVACY_REQUIRED, "STARTTLS is needed first")
    if command.size > settings.max_message_size:
        raise MailError(ErrorKind.TOO_LARGE, "The message is too large")
    session.trace()
    session.transaction = Transaction(command)
    return _SENDER_OK


async def rcpt(session: Session, command: Rcpt) -> Reply:
    """RCPT TO: known here, or 550 5.1.1; 451 where that cannot be told now."""
    settings, transaction = session.backend.settings, session.transaction
    assert transaction is not None  # noqa: S101 - the table allows no other state
    if transaction.message is not None:
        return _out_of_order(session.state)
    if len(transaction.targets) >= settings.max_recipients:
        raise MailError(ErrorKind.LIMIT, "Too many recipients")
    if command.ignore_quota and not settings.ignore_quota:
        return Reply(555, "5.5.4", "IGNOREQUOTA is not offered")
    try:
        target = await session.backend.recipients.find(
            command.recipient, ignore_quota=command.ignore_quota, session=session.peer.session
        )
    except MailError as fault:
        _log.info(
            "recipient refused",
            session=session.peer.session,
            sender="<>" if transaction.mail.sender is None else str(transaction.mail.sender),
            recipient=str(command.recipient),
            peer=session.client,
            reason=fault.kind.value,
        )
        reply = session.reply_of(fault)
        return Reply(reply.code, reply.status, f"<{command.recipient}> {reply.text}")
    transaction.targets.append(target)
    return _RECIPIENT_OK


async def data(session: Session, command: Data) -> Reply:
    """DATA: 503 without a recipient (RFC 2033 section 4.2), else the message follows."""
    transaction = session.transaction
    assert transaction is not None  # noqa: S101 - the table allows no other state
    if transaction.message is not None:
        return Reply(503, "5.5.1", "BDAT was begun: go on with it, or RSET")
    session.start_message(transaction)
    session.then = Then.READ_DATA
    return _GO_AHEAD


async def bdat(session: Session, command: Bdat) -> Reply | None:
    """BDAT (RFC 3030): answered when the chunk is read, or refused at once and read all the same.

    What goes wrong inside of a message is told at its end, recipient by recipient.
    """
    transaction = session.transaction
    if transaction is None or not transaction.targets:
        session.swallow = True
        return _out_of_order(session.state)
    if transaction.message is None:
        session.start_message(transaction)
    return None


async def rset(session: Session, command: Rset) -> Reply:
    """RSET: the transaction is forgotten, what was stored of it removed."""
    await session.reset()
    return Reply(250, "2.0.0", "Forgotten")


async def noop(session: Session, command: Noop) -> Reply:
    """NOOP."""
    return Reply(250, "2.0.0", "Yes")


async def vrfy(session: Session, command: Vrfy) -> Reply:
    """VRFY: says nothing about who is here (RFC 5321 section 3.5.3); RCPT does."""
    return Reply(252, "2.5.0", "Send it and see")


async def quit_(session: Session, command: Quit) -> Reply:
    """QUIT."""
    session.then = Then.CLOSE
    return Reply(221, "2.0.0", "Goodbye")


async def starttls(session: Session, command: StartTls) -> Reply:
    """STARTTLS (RFC 3207): everything said before is forgotten, and LHLO is due again."""
    if session.peer.tls:
        return Reply(503, "5.5.1", "TLS is active already")
    if not session.backend.tls_available:
        return Reply(454, "4.7.0", "TLS is not available")
    await session.reset()
    session.then = Then.START_TLS
    return Reply(220, "2.0.0", "Go ahead")


async def xclient(session: Session, command: Xclient) -> Reply:
    """XCLIENT: a trusted proxy or MTA names its own client, for Received and the log."""
    if not _is_trusted(session):
        raise MailError(ErrorKind.PERMISSION, "XCLIENT is not for you")
    for name, value in command.attributes:
        if name not in _XCLIENT:
            return Reply(501, "5.5.4", "An attribute is not known")
        if value.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
            continue
        if name == "ADDR":
            try:
                address = ipaddress.ip_address(value[5:] if value[:5].upper() == "IPV6:" else value)
            except ValueError:
                return Reply(501, "5.5.4", "ADDR is no address")
            session.client = str(address)
        elif name == "HELO":
            if not is_hello(value):
                return Reply(501, "5.5.4", "HELO is no domain")
            session.client_helo = value
    session.helo = ""
    return Reply(220, "", f"{session.backend.settings.hostname} LMTP Restante ready")


# None: the reply comes later.
Handler = Callable[[Session, Any], Awaitable[Reply | None]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the command table."""

    handler: Handler
    states: int


TABLE: Final[dict[type[Any], Entry]] = {
    # at any time
    Lhlo: Entry(lhlo, ANY),
    Noop: Entry(noop, ANY),
    Quit: Entry(quit_, ANY),
    Rset: Entry(rset, ANY),
    Vrfy: Entry(vrfy, ANY),
    # outside of a transaction
    StartTls: Entry(starttls, NEW | READY),
    Xclient: Entry(xclient, NEW | READY),
    Mail: Entry(mail, READY),
    # inside of one
    Rcpt: Entry(rcpt, MAIL | RCPT),
    Data: Entry(data, RCPT),
    Bdat: Entry(bdat, RCPT),
}
_COUNTED: Final = metrics.commands(TABLE)

_SENDER_OK: Final = Reply(250, "2.1.0", "Sender OK")
_RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient OK")
_GO_AHEAD: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
_XCLIENT: Final = frozenset(
    ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
)


def _out_of_order(state: int) -> Reply:
    if state == NEW:
        return Reply(503, "5.5.1", "LHLO first")
    if state == READY:
        return Reply(503, "5.5.1", "MAIL first")
    if state == MAIL:
        return Reply(503, "5.5.1", "No valid recipients")
    return Reply(503, "5.5.1", "Bad sequence of commands")


def _is_trusted(session: Session) -> bool:
    if session.peer.address == "unix":
        return True
    try:
        address = ipaddress.ip_address(session.peer.address.partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in session.backend.settings.trusted_peers)
