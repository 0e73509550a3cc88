"""The socket's side of an LMTP session: batches of commands in, one write of replies out."""

from contextlib import nullcontext
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.connection import Connection, Interrupted
from restante.runtime.listener import Listener
from restante.wire.lmtp import Content, Data, Event, LmtpParser, Quit, Rcpt, Reply, StartTls
from services.delivery.lmtp import Backend, Session, Then

BUSY: Final = Reply(421, "4.3.2", "Too many connections, try again later").encode()
_STOPPING: Final = Reply(421, "4.3.2", "Service is shutting down").encode()
_TIMEOUT: Final = Reply(421, "4.4.2", "Timeout").encode()

# After these the session decides how the next bytes are read; after Content it may have to wait.
_LAST_OF_BATCH: Final = frozenset((Data, StartTls, Quit, Content))


class LmtpConnection(Connection):
    """One client."""

    __slots__ = ("_backend",)

    def __init__(self, listener: Listener, backend: Backend) -> None:
        super().__init__(listener)
        self._backend = backend

    async def run(self) -> None:
        """Greet, then serve until QUIT, a timeout, or the end of input."""
        session = Session(self._backend, self.peer)
        try:
            self.write(session.greeting)
            await self._serve(session)
        finally:
            await session.reset()
            session.end_trace()

    async def _serve(self, session: Session) -> None:
        parser = LmtpParser()
        timeout = self._backend.settings.idle_timeout
        while True:
            try:
                data = await self.receive(timeout)
            except TimeoutError:
                self.write(_TIMEOUT)
                return
            except Interrupted:
                data = None
            if data == b"":
                return
            if data is not None:
                parser.feed(data)
                if not await self._answer(session, parser):
                    return
            # While draining, a transaction under way may be completed, no other begins.
            if self.listener.draining and session.transaction is None:
                self.write(_STOPPING)
                return

    async def _answer(self, session: Session, parser: LmtpParser) -> bool:
        """Answer all that is whole; False ends the session."""
        out: list[bytes] = []
        while batch := _batch(parser):
            recipients = [event.recipient for event in batch if type(event) is Rcpt]
            if len(recipients) > 1:
                session.trace()
                with session.span.active() if session.span is not None else nullcontext():
                    self._backend.recipients.ask_ahead(recipients, self.session)
            for event in batch:
                if session.span is None:
                    out.append(await session.handle(event))
                else:
                    with session.span.active():
                        out.append(await session.handle(event))
                if session.then is Then.READ_DATA:
                    session.then = Then.CONTINUE
                    parser.start_data()
                elif session.then is not Then.CONTINUE:
                    self.write(b"".join(out))
                    out.clear()
                    if session.then is Then.CLOSE:
                        return False
                    await self._start_tls(session, parser)
        if out:
            self.write(b"".join(out))
            await self.drain()
        return True

    async def _start_tls(self, session: Session, parser: LmtpParser) -> None:
        """Handshake, with everything forgotten that came in clear (CVE-2021-33515)."""
        session.forget_before_tls()
        parser.discard()
        if self.listener.tls is None:
            raise MailError(ErrorKind.INTERNAL, "STARTTLS without a certificate")
        await self.start_tls(self.listener.tls.context())


def _batch(parser: LmtpParser) -> list[Event]:
    batch: list[Event] = []
    while (event := parser.next_event()) is not None:
        batch.append(event)
        if type(event) in _LAST_OF_BATCH:
            break
    return batch
