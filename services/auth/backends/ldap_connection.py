"""One connection to an LDAP server, over asyncio.

Not a C library's client: those block their whole process while a server accepts and does not
answer, in TCP, in the TLS handshake, in a bind (docs/adr/0010-ldap-client.md).

Invariants
- Waits have no deadline here: the caller cancels. A request that was given up closes the
  connection: its answer must never be taken for another's.
- StartTLS: what came in clear behind the server's consent is refused, not read inside TLS.
- Faults of the connection are LdapLostError, before or after a request was sent; result codes
  are the caller's business.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from restante.wire.ldap import message
from restante.wire.ldap.message import Answer, Code, Decoder, Entry, Reference, Result

_PORTS: Final = {"ldap": 389, "ldaps": 636}


class LdapLostError(Exception):
    """The connection cannot be made, or broke, or the server did not answer in time."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is."""

    scheme: str  # ldap, ldaps, ldapi
    host: str  # the socket's path for ldapi
    port: int = 0

    @classmethod
    def parse(cls, uri: str) -> "ServerAddress":
        """Read ldap://host:port, ldaps://host:port or ldapi://%2Fpath. Raises ValueError."""
        parts = urlsplit(uri)
        if parts.scheme == "ldapi" and parts.netloc:
            return cls("ldapi", unquote(parts.netloc))
        if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
            raise ValueError(f"LDAP_URI: not an LDAP server: {uri!r}")
        return cls(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])

    @property
    def is_private(self) -> bool:
        """True where nobody on the way can listen, without TLS."""
        return self.scheme == "ldapi" or self.host in ("localhost", "127.0.0.1", "::1")

    def __str__(self) -> str:
        if self.scheme == "ldapi":
            return f"ldapi://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a search brought."""

    entries: tuple[Entry, ...]
    references: bool  # parts of the answer lie on other servers
    result: Result


class LdapConnection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, address: ServerAddress) -> None:
        """Made by `connect`."""
        self.address = address
        self.used_at = 0.0  # the loop's time, kept by whoever keeps the connection
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder()
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._number = 0
        self._reason = "the server closed the connection"

    @classmethod
    async def connect(
        cls, address: ServerAddress, tls: ssl.SSLContext, *, start_tls: bool
    ) -> "LdapConnection":
        """Connect and encrypt, as address and `start_tls` say. Raises LdapLostError."""
        loop = asyncio.get_running_loop()
        made = cls(address)
        try:
            if address.scheme == "ldapi":
                await loop.create_unix_connection(lambda: made, address.host)
                return made
            context = tls if address.scheme == "ldaps" else None
            name = address.host if context else None
            await loop.create_connection(
                lambda: made, address.host, address.port, ssl=context, server_hostname=name
            )
            if start_tls and context is None:
                await made._start_tls(tls)
        except (OSError, ssl.SSLError) as error:
            made.abort()
            raise LdapLostError(_reason(error)) from error
        except BaseException:
            made.abort()
            raise
        return made

    @property
    def closed(self) -> bool:
        """True where nothing can be asked any more."""
        return self._transport is None or self._transport.is_closing()

    async def bind(self, dn: str, password: bytes, version: int) -> Result:
        """Become `dn`. Raises LdapLostError."""
        return (await self._ask(message.bind(self._next(), dn, password, version))).result

    async def search(self, what: message.Search) -> Found:
        """Search. Raises LdapLostError."""
        return await self._ask(message.search(self._next(), what))

    async def replace(self, dn: str, values: dict[str, bytes]) -> Result:
        """Set attributes of an entry. Raises LdapLostError: perhaps they are set."""
        return (await self._ask(message.replace(self._next(), dn, values))).result

    async def password_modify(self, dn: str, old: bytes, new: bytes) -> Result:
        """Set a password (RFC 3062). Raises LdapLostError: perhaps it is set."""
        request = message.password_modify(self._next(), dn, old, new)
        return (await self._ask(request)).result

    def close(self) -> None:
        """Say goodbye."""
        if self._transport is not None and not self.closed:
            self._transport.write(message.unbind(self._next()))
            self._transport.close()

    def abort(self) -> None:
        """Let go at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no common base

    def data_received(self, data: bytes) -> None:
        """Take bytes from the server."""
        try:
            answers = self._decoder.feed(data)
        except message.ProtocolError as error:
            self._reason = f"not LDAP: {error}"
            self.abort()
            return
        for answer in answers:
            self._answers.put_nowait(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits."""
        if exc is not None:
            self._reason = _reason(exc)
        self._transport = None
        self._answers.put_nowait(None)

    async def _ask(self, request: bytes) -> Found:
        if self._transport is None or self._transport.is_closing():
            raise LdapLostError(self._reason)
        try:
            self._transport.write(request)
            return await self._collect()
        except BaseException:
            self.abort()
            raise

    async def _collect(self) -> Found:
        entries: list[Entry] = []
        references = False
        while True:
            answer = await self._answers.get()
            if answer is None:
                raise LdapLostError(self._reason)
            if answer.id != self._number:  # a notice of disconnection, or nonsense
                text = answer.body.text if isinstance(answer.body, Result) else ""
                raise LdapLostError(f"the server ends the connection: {text[:200]}")
            match answer.body:
                case Entry():
                    entries.append(answer.body)
                case Reference():
                    references = True
                case Result():
                    return Found(tuple(entries), references, answer.body)

    async def _start_tls(self, tls: ssl.SSLContext) -> None:
        transport = self._transport
        if transport is None:
            raise LdapLostError(self._reason)
        transport.write(message.start_tls(self._next()))
        result = (await self._collect()).result
        if result.code != Code.SUCCESS:
            raise LdapLostError(f"the server refuses StartTLS: {result.text[:200]}")
        if not (self._decoder.empty and self._answers.empty()):
            raise LdapLostError("the server sent more than its consent before TLS")
        loop = asyncio.get_running_loop()
        encrypted = await loop.start_tls(transport, self, tls, server_hostname=self.address.host)
        if encrypted is None:
            raise LdapLostError("the connection broke in the TLS handshake")
        self._transport = encrypted

    def _next(self) -> int:
        self._number = self._number % 0x7FFFFFFE + 1
        return self._number


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason}"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error)
