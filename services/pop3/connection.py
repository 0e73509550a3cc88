"""The socket's side of a POP3 session: bursts of commands in, few large writes out.

All commands that arrived together are answered together. After the login they are taken as one
list, so that a handler can see which messages the client has asked for next and read them in one
hop. Before it they are taken one by one, since each may change how the next bytes are to be
read (SASL, STLS).
"""

from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.connection import Connection, Interrupted
from restante.runtime.listener import Listener
from restante.wire.pop3 import CommandParser, error, ok
from services.pop3.commands import TABLE
from services.pop3.session import AUTHORIZATION, TRANSACTION, Backend, Event, Session, Then

_FLUSH: Final = 64 * 1024  # octets of replies that are collected before they are written

_GREETING: Final = ok("Restante POP3 ready.")
BUSY: Final = error("Too many connections, please try again later.", "SYS/TEMP")
_STOPPING: Final = error("Server is shutting down.", "SYS/TEMP")
_REVOKED: Final = error("Session ended: the account was changed.")


class Pop3Connection(Connection):
    """One client."""

    __slots__ = ("_backend",)

    def __init__(self, listener: Listener, backend: Backend) -> None:
        super().__init__(listener)
        self._backend = backend

    async def run(self) -> None:
        """Greet, then serve until QUIT, a timeout, or the end of input."""
        session = Session(self._backend, self.peer, TABLE, self.acquire_user, self.note)
        try:
            await self._serve(session)
        finally:
            await session.end()

    async def _serve(self, session: Session) -> None:
        parser = CommandParser()
        settings, loop = self._backend.settings, self.listener.loop
        login_by = loop.time() + settings.login_timeout
        self.write(_GREETING)
        while True:
            if session.state == AUTHORIZATION:
                timeout = max(0.0, login_by - loop.time())
            else:
                timeout = settings.idle_timeout
            try:
                data = await self.receive(timeout)
            except TimeoutError:
                return  # RFC 1939 section 3: no reply, nothing removed
            except Interrupted:
                if self.revoked:
                    self.write(_REVOKED)  # nothing is removed
                    return
                # The listener is draining. A logged in client gets the time to finish and QUIT.
                if session.state == AUTHORIZATION:
                    self.write(_STOPPING)
                    return
                continue
            if not data:
                return
            parser.feed(data)
            if not await self._answer(session, parser):
                return

    async def _answer(self, session: Session, parser: CommandParser) -> bool:
        """Answer all that is whole; False ends the session."""
        out: list[bytes] = []
        octets = 0
        while burst := _burst(session, parser):
            session.burst = burst
            for position, event in enumerate(burst, 1):
                session.position = position
                if self.revoked:
                    self.write(b"".join((*out, _REVOKED)))
                    return False
                reply = await session.handle(event)
                if isinstance(reply, bytes):
                    out.append(reply)
                    octets += len(reply)
                else:
                    self.write(b"".join(out))
                    out, octets = [], 0
                    for chunk in reply:
                        self.write(chunk)
                        await self.drain()
                if octets > _FLUSH:
                    self.write(b"".join(out))
                    out, octets = [], 0
                    await self.drain()
                if session.then is not Then.CONTINUE:
                    self.write(b"".join(out))
                    out, octets = [], 0
                    if session.then is Then.CLOSE:
                        return False
                    if session.upstream is not None:
                        seconds, rest = self._backend.settings.idle_timeout, parser.take_rest()
                        await session.upstream.relay(self, seconds, rest)
                        return False
                    await self._start_tls(session, parser)
            parser.raw_lines = session.continuation is not None
        if out:
            self.write(b"".join(out))
        return True

    async def _start_tls(self, session: Session, parser: CommandParser) -> None:
        """Handshake, with everything forgotten that came in clear (CVE-2021-33515)."""
        session.then = Then.CONTINUE
        session.forget_before_tls()
        parser.discard()
        tls = self.listener.tls
        if tls is None:
            raise MailError(ErrorKind.INTERNAL, "STLS without a certificate")
        await self.start_tls(tls.context())


def _burst(session: Session, parser: CommandParser) -> list[Event]:
    event = parser.next_event()
    if event is None:
        return []
    burst: list[Event] = [event]
    if session.state == TRANSACTION:
        while (event := parser.next_event()) is not None:
            burst.append(event)
    return burst
