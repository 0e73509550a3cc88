"""STARTTLS, AUTHENTICATE, LOGIN (RFC 3501 section 6.2, RFC 4959) and ENABLE (RFC 5161)."""

from base64 import b64decode
from binascii import Error
from dataclasses import dataclass, field
from typing import ClassVar

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor


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


def read_starttls(c: Cursor, tag: str) -> StartTls:
    """Read nothing."""
    c.end()
    return StartTls(tag)


def read_authenticate(c: Cursor, tag: str) -> Authenticate:
    """Read a mechanism and perhaps the initial response."""
    c.sp()
    mechanism = c.word().decode("ascii")
    if c.at_end():
        return Authenticate(tag, mechanism)
    c.sp()
    text = c.data[c.at :].rstrip(b" ")
    if text == b"=":
        return Authenticate(tag, mechanism, b"")
    try:
        return Authenticate(tag, mechanism, b64decode(text, validate=True))
    except Error as fault:
        raise BadSyntaxError("the initial response is not base64") from fault


def read_login(c: Cursor, tag: str) -> Login:
    """Read user and password.

    Unquoted they may hold "*" and "%", which no astring may: people type "fred*master" as it is,
    programs such as imaplib send it so, and other servers take it.
    """
    c.sp()
    user = c.list_mailbox()
    c.sp()
    password = c.list_mailbox()
    c.end()
    return Login(tag, user, password)


def read_enable(c: Cursor, tag: str) -> Enable:
    """Read one capability name or more."""
    names: list[str] = []
    while not c.at_end():
        c.sp()
        names.append(c.word().decode("ascii"))
    if not names:
        raise BadSyntaxError("argument missing")
    return Enable(tag, tuple(names))
