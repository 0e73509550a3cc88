"""The other end of a proxied session: the server that holds the account's mail.

First a dialogue in lines (the login), then `relay`: bytes in both directions until either side
ends. Invariants: each side is read only as fast as the other takes it; what the upstream sent
behind the login goes to the client first; nothing is sent in clear where TLS is asked for, and
what came in clear before the handshake is not read inside TLS (CVE-2021-33515).
"""

import asyncio
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, cast

from restante.model import ErrorKind, MailError
from restante.runtime.connection import Connection, Interrupted
from restante.runtime.log import get_logger

MAX_LINE: Final = 8192
_HIGH: Final = 64 * 1024

Security = Literal["off", "starttls", "implicit"]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """Where the mail of an account is: `mailhost` as the account's option has it."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, port: int) -> "UpstreamAddress":
        """Read "host", "host:port" or "[ipv6]:port". Raises MailError(TEMPORARY) for nonsense."""
        host, given = text, ""
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            given = rest.removeprefix(":")
        elif text.count(":") == 1:
            host, _, given = text.partition(":")
        if not host or (given and not (given.isascii() and given.isdigit() and len(given) < 6)):
            raise MailError(ErrorKind.TEMPORARY, "the account's mailhost cannot be understood")
        return cls(host, int(given or port))


@lru_cache(maxsize=4)
def client_context(ca: Path | None) -> ssl.SSLContext:
    """Return the TLS context for upstreams; `ca` None trusts the system's authorities."""
    return ssl.create_default_context(cafile=str(ca) if ca else None)


class Upstream(asyncio.Protocol):
    """One connection to another server. Faults are MailError(TEMPORARY) until `relay`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended = False
        self._session = ""
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._client: Connection | None = None
        self._room = asyncio.Event()
        self._room.set()

    @classmethod
    async def connect(
        cls,
        address: UpstreamAddress,
        context: ssl.SSLContext | None,
        seconds: float,
        *,
        session: str = "",
    ) -> "Upstream":
        """Connect; with a context the handshake comes first (implicit TLS).

        `session` is the id of the client's, for the log.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                _, made = await loop.create_connection(
                    cls,
                    address.host,
                    address.port,
                    ssl=context,
                    server_hostname=address.host if context else None,
                )
        except (OSError, TimeoutError) as error:
            _log.warning(
                "mailhost cannot be reached",
                session=session,
                host=address.host,
                reason=str(error),
            )
            raise _away() from None
        made._session = session
        return made

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Do the handshake, right after the upstream's consent."""
        if self._buffer or self._transport is None:
            raise _away()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                transport = await loop.start_tls(
                    self._transport, self, context, server_hostname=host
                )
        except (OSError, TimeoutError) as error:
            _log.warning(
                "TLS with mailhost failed", session=self._session, host=host, reason=str(error)
            )
            raise _away() from None
        self._transport = cast(asyncio.Transport, transport)

    async def line(self, seconds: float) -> bytes:
        """Return the next line without its end."""
        try:
            async with asyncio.timeout(seconds):
                while (at := self._buffer.find(b"\n")) < 0:
                    if self._ended or len(self._buffer) > MAX_LINE:
                        raise _away()
                    await self._more()
        except TimeoutError:
            raise _away() from None
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line.removesuffix(b"\r")

    def write(self, data: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self._transport.write(data)

    async def relay(self, client: Connection, seconds: float, first: bytes) -> None:
        """Pass bytes on until either side ends, or the client says nothing for `seconds`.

        `first` are bytes of the client that were read already. A session that is revoked ends;
        one of a draining listener goes on until the listener cuts it.
        """
        self._client = client
        client.relay_from(self)
        try:
            if self._buffer:
                client.write(bytes(self._buffer))
                self._buffer.clear()
            self.write(first)
            while not self._ended:
                await self._room.wait()
                try:
                    data = await client.receive(seconds)
                except Interrupted:
                    if client.revoked:
                        return
                    continue
                except TimeoutError:
                    return
                if not data:
                    return
                self.write(data)
        finally:
            self.close()

    def pause(self) -> None:
        """The client takes no more for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """The client takes more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Send what is queued, then close."""
        if self._transport is not None:
            self._transport.close()

    # --- called by the transport ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_HIGH)

    def data_received(self, data: bytes) -> None:
        """Pass on, or keep for `line`."""
        if self._client is not None:
            self._client.write(data)
            return
        self._buffer += data
        self._wake()

    def eof_received(self) -> bool:
        """The upstream has said all."""
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The upstream is gone: the client gets what is queued, then the end."""
        self._end()

    def pause_writing(self) -> None:
        """The upstream takes no more for now."""
        self._room.clear()

    def resume_writing(self) -> None:
        """The upstream takes more."""
        self._room.set()

    def _end(self) -> None:
        self._ended = True
        self._room.set()
        self._wake()
        if self._client is not None:
            self._client.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


def _away() -> MailError:
    return MailError(ErrorKind.TEMPORARY, "The server of this mailbox does not answer.")
