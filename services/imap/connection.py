"""The socket's side of an IMAP session: octets in, the dispatch table, octets out.

Invariants
- One command at a time. Answers are gathered and go out before the connection waits for input, so
  a pipelined burst is answered in one write.
- Nothing that arrived before STARTTLS's handshake is read after it (CVE-2021-33515): parser and
  socket are emptied, and the session state is that of a fresh connection.
- A failing command never ends the connection: what is not a MailError is logged and answered
  NO [SERVERBUG], a fault of the disk NO [UNAVAILABLE].
- While IDLE, `wake` (called by the mailbox on any change) interrupts the wait; outside IDLE it
  does nothing, since the next command tells what changed.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Final

from restante.model import ErrorKind, MailError
from restante.runtime import counters, tracing
from restante.runtime.connection import Connection, Interrupted
from restante.runtime.listener import Listener
from restante.runtime.log import get_logger
from restante.runtime.upstream import Upstream
from restante.wire.imap import response
from restante.wire.imap.commands import Command, Idle
from restante.wire.imap.events import (
    AppendChunk,
    AppendStart,
    ContinuationLine,
    Event,
    LiteralRequest,
    ProtocolError,
)
from restante.wire.imap.limits import AUTHENTICATED, PRE_AUTH, Limits
from restante.wire.imap.parser import ImapParser
from services.imap import metrics
from services.imap.capabilities import capabilities
from services.imap.output import Output
from services.imap.replies import Reply, bad, no, refusal
from services.imap.session import Session
from services.imap.table import TABLE, Does

if TYPE_CHECKING:
    from services.imap.backend import Backend

BUSY: Final = response.bye("Too many connections, please try again later.", "UNAVAILABLE")

_log = get_logger(__name__)
_COUNTED: Final = metrics.Commands(TABLE)


class _Goodbye(Exception):  # noqa: N818 - the end of a session, not a fault
    """Ends the session with "* BYE text"."""

    def __init__(self, text: str, code: str | None = None) -> None:
        self.text = text
        self.code = code


class _Refused(Exception):  # noqa: N818 - carries an answer
    """The parser refused the rest of the current command, and has an answer for it."""

    def __init__(self, error: ProtocolError) -> None:
        self.error = error


class ImapConnection(Connection):
    """One client."""

    __slots__ = (
        "_append",
        "_backend",
        "_events",
        "_idling",
        "_login_by",
        "_out",
        "_parser",
        "_reading",
        "_refusals",
    )

    def __init__(self, listener: Listener, backend: "Backend") -> None:
        super().__init__(listener)
        self._backend = backend
        self._parser = ImapParser(PRE_AUTH)
        self._events: Iterator[Event] = iter(())  # of what was received last
        self._out = Output(self)
        self._idling = False
        self._login_by: float | None = None
        self._append: AppendStart | None = None  # whose message has not been read yet
        self._reading = False  # inside a message
        self._refusals = 0  # commands refused in a row before login, or out of state

    # --- the session ------------------------------------------------------------------------

    async def run(self) -> None:
        """Greet, then serve until LOGOUT, a timeout, or the end of input."""
        self._login_by = self.listener.loop.time() + self._backend.settings.login_timeout
        session = Session(self._backend, self, self._out)
        try:
            greeting = "CAPABILITY " + " ".join(capabilities(session))
            self._out.send(response.ok(None, "Restante IMAP ready.", greeting))
            while not session.ending:
                await self._turn(session, await self._next_event())
                if session.upstream is not None:
                    await self._relay(session.upstream)
                    return
                await self._out.breathe()
        except _Goodbye as bye:
            self._out.send(response.bye(bye.text, bye.code))
        except EOFError:
            pass
        finally:
            session.close()
            if not self.closed:
                self._out.flush()

    async def _relay(self, upstream: Upstream) -> None:
        """The rest of the session is between the client and the account's mailhost."""
        self._out.flush()
        self._events = iter(())
        await upstream.relay(self, self._backend.settings.idle_timeout, self._parser.take_rest())

    async def _turn(self, session: Session, event: Event) -> None:
        if isinstance(event, Command):
            started = perf_counter()
            await self._command(session, event)
            spent = perf_counter() - started
            _COUNTED.seconds[type(event)].observe(spent)
            if spent >= tracing.SLOW:
                self._slow(session, event, spent)
        elif isinstance(event, LiteralRequest):
            self._out.send(response.continuation())
        elif isinstance(event, AppendStart):
            await self._message_command(session, event)
        elif isinstance(event, ProtocolError):
            self._protocol_error(event)

    def _slow(self, session: Session, command: Command, seconds: float) -> None:
        if not isinstance(command, Idle):
            user = session.user or ""
            tracing.slow(f"imap {command.name}", seconds, session=self.session, user=user)

    async def _message_command(self, session: Session, start: AppendStart) -> None:
        """Run APPEND; whatever becomes of it, the parser is past its message afterwards."""
        self._append = start
        started = perf_counter()
        await self._command(session, start.command)
        spent = perf_counter() - started
        _COUNTED.seconds[type(start.command)].observe(spent)
        if spent >= tracing.SLOW:
            self._slow(session, start.command, spent)
        if self._append is not None:  # refused before it was sent
            self._append = None
            self._parser.refuse_append()
        while self._reading:  # failed midway: the rest is read past
            event = await self._next_event()
            self._reading = isinstance(event, AppendChunk)
            if isinstance(event, ProtocolError) and event.fatal:
                raise _Goodbye("Too many bad commands.")

    async def _command(self, session: Session, command: Command) -> None:
        entry = TABLE[type(command)]
        if not session.state & entry.states:
            _COUNTED.bad[type(command)].inc()
            self._refusal(bad(f"{command.name} is not allowed now.").line(command.tag))
            return
        try:
            if Does.CHANGES in entry.does:
                session.check_may_change()
            reply = await entry.handler(session, command)
            if Does.TELLS in entry.does and session.selected is not None:
                numbered = Does.NUMBERED in entry.does and not getattr(command, "uid", False)
                await session.updates(expunge=not numbered)
        except _Refused as refused:
            self._protocol_error(refused.error)
            return
        except (_Goodbye, EOFError, ConnectionError, Interrupted, TimeoutError):
            raise
        except MailError as error:
            reply = self._failed(session, command, error, Does.FILLS in entry.does)
        except OSError as error:
            _log.warning(
                "store failed",
                session=self.session,
                user=session.user,
                command=command.name,
                reason=str(error),
            )
            counters.error(ErrorKind.TEMPORARY)
            reply = no("The mail store does not answer now.", "UNAVAILABLE")
        except Exception:  # noqa: BLE001 - a fault of ours must not cost the client its session
            _log.exception(
                "command failed",
                session=self.session,
                user=session.user,
                command=command.name,
            )
            counters.error(ErrorKind.INTERNAL)
            reply = no("Internal error.", "SERVERBUG")
        if session.reads:
            session.command_ended()
        if reply.word == "BAD":
            _COUNTED.bad[type(command)].inc()
            self._refusal(reply.line(command.tag))
            return
        if session.starting_tls:
            await self._start_tls(session, reply.line(command.tag))
            return
        if reply.word != "OK":
            _COUNTED.no[type(command)].inc()
        self._refusals = 0
        if self._login_by is not None and session.account is not None:
            self._logged_in()
        self._out.send(reply.line(command.tag))

    def _failed(self, session: Session, command: Command, error: MailError, fills: bool) -> Reply:
        counters.error(error)
        if error.kind in (ErrorKind.TEMPORARY, ErrorKind.CORRUPT, ErrorKind.INTERNAL):
            _log.warning(
                "command failed",
                session=self.session,
                user=session.user,
                command=command.name,
                reason=error.text,
            )
        return refusal(error, try_create=fills)

    def _logged_in(self) -> None:
        settings = self._backend.settings
        self._login_by = None
        self._parser.limits = _limits(settings.max_message_size, settings.max_bad_commands)

    def _protocol_error(self, error: ProtocolError) -> None:
        _COUNTED.unreadable.inc()
        line = response.status(error.tag, error.status, error.text, error.code)
        if error.fatal:
            self._out.send(line)
            raise _Goodbye("Too many bad commands.")
        self._refusal(line)

    def _refusal(self, line: bytes) -> None:
        """Send a BAD; too many in a row end the connection."""
        self._out.send(line)
        self._refusals += 1
        if self._refusals >= self._parser.limits.errors:
            raise _Goodbye("Too many bad commands.")

    async def _start_tls(self, session: Session, line: bytes) -> None:
        session.starting_tls = False
        contexts = self.listener.tls
        if contexts is None:
            raise _Goodbye("TLS is not available.")
        self._out.flush()
        self._parser.reset()
        self._events = iter(())
        self.write(line)
        await self.start_tls(contexts.context())

    # --- input ------------------------------------------------------------------------------

    async def _next_event(self) -> Event:
        """Return the next event; what was gathered goes out before the wait. EOFError at the end.

        Raises Interrupted only while IDLE.
        """
        while True:
            self._check_revoked()
            event = next(self._events, None)
            if event is not None:
                return event
            self._out.flush()
            await self.drain()
            self._events = self._parser.feed(await self._receive())

    async def _receive(self) -> bytes:
        settings = self._backend.settings
        while True:
            if self._login_by is not None:
                timeout = max(0.0, self._login_by - self.listener.loop.time())
            else:
                timeout = settings.keepalive if self._idling else settings.idle_timeout
            try:
                data = await self.receive(timeout)
            except TimeoutError:
                if self._idling:
                    raise
                if self._login_by is not None:
                    raise _Goodbye("Login took too long.") from None
                raise _Goodbye("Idle for too long.") from None
            except Interrupted:
                self._check_revoked()
                if self.listener.draining:
                    raise _Goodbye("Server is shutting down.", "UNAVAILABLE") from None
                if self._idling:
                    raise
                continue
            if not data:
                raise EOFError
            self._out.resumed()
            return data

    def _check_revoked(self) -> None:
        if self.revoked:
            raise _Goodbye("Session ended: the account was changed.")

    # --- what a command may ask of the client (services.imap.session.Client) ----------------

    @property
    def peer_address(self) -> str:
        """IP address of the client, or "unix"."""
        return self.peer.address

    @property
    def secure(self) -> bool:
        """True if nobody on the way can read along: TLS, or a unix socket."""
        return self.peer.tls or self.peer.address == "unix"

    @property
    def bindings(self) -> Mapping[str, bytes]:
        """Channel binding data by type (SASL), empty without TLS."""
        return self.peer.bindings

    @property
    def certificate(self) -> str:
        """The name in the client's verified certificate, "" if it showed none."""
        return self.peer.certificate

    @property
    def may_start_tls(self) -> bool:
        """True if STARTTLS can be done."""
        return not self.peer.tls and self.listener.tls is not None

    async def ask(self, challenge: bytes) -> bytes:
        """Send "+ challenge" and return the client's next line."""
        self._parser.expect_line()
        self._out.send(b"+ " + challenge + b"\r\n")
        event = await self._next_event()
        if isinstance(event, ProtocolError):
            raise _Refused(event)
        return event.data if isinstance(event, ContinuationLine) else b"*"

    async def message(self) -> AsyncIterator[bytes]:
        """Let the client send the message of its APPEND, and yield it as it comes."""
        start, self._append = self._append, None
        if start is None:
            raise MailError(ErrorKind.INTERNAL, "no message is to be read")
        if start.sync:
            self._out.send(response.continuation())
        self._reading = True
        while True:
            event = await self._next_event()
            if isinstance(event, AppendChunk):
                yield event.data
                continue
            self._reading = False
            if isinstance(event, ProtocolError):
                raise _Refused(event)
            return

    async def idle(self, session: Session) -> bool:
        """Tell updates until the client sends a line; True if it was DONE (RFC 2177)."""
        self._parser.expect_line()
        self._out.send(b"+ idling\r\n")
        loop = self.listener.loop
        give_up = loop.time() + self._backend.settings.idle_timeout
        self._idling = True
        metrics.IDLING.inc()
        try:
            while True:
                await session.updates(expunge=True)
                try:
                    event = await self._next_event()
                except Interrupted:
                    continue
                except TimeoutError:
                    if loop.time() >= give_up:
                        raise _Goodbye("Idle for too long.") from None
                    self._out.send(b"* OK Still here\r\n")
                    continue
                if isinstance(event, ProtocolError):
                    raise _Refused(event)
                return isinstance(event, ContinuationLine) and event.data.upper() == b"DONE"
        finally:
            self._idling = False
            metrics.IDLING.dec()

    def wake(self) -> None:
        """The selected mailbox changed."""
        if self._idling:
            self.interrupt()


@lru_cache(maxsize=4)
def _limits(message: int, errors: int) -> Limits:
    """Return the parser's limits after login."""
    skip = max(AUTHENTICATED.skip, message)
    return replace(AUTHENTICATED, append=message, skip=skip, errors=errors)
