"""STARTTLS, AUTHENTICATE, LOGIN (RFC 3501 section 6.2, RFC 4959) and ENABLE (RFC 5161)."""

from dataclasses import dataclass, field
from typing import ClassVar

from restante.wire.imap.commands.command import Command


@dataclass(frozen=True, slots=True)
class StartTls(Command):
    """STARTTLS. The session must call `ImapParser.reset` before the handshake."""

    name: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """AUTHENTICATE mechanism [initial response].

    `initial` is decoded from base64 already: b"" stands for "=", None for none.
    """

    name: ClassVar[str] = "AUTHENTICATE"
    mechanism: str  # upper case
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Login(Command):
    """LOGIN user password; the octets as sent."""

    name: ClassVar[str] = "LOGIN"
    user: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enable(Command):
    """ENABLE: capability names in upper case."""

    name: ClassVar[str] = "ENABLE"
    capabilities: tuple[str, ...]
