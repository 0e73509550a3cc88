"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 section 6.3, RFC 6154).

Names are the octets as sent: `MailboxNames.decode` makes a FolderName of them.
"""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor


@dataclass(frozen=True, slots=True)
class Create(Command):
    r"""CREATE mailbox [(USE (\Sent ...))]; uses as sent, such as "\Sent"."""

    name: ClassVar[str] = "CREATE"
    mailbox: bytes
    special_use: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete(Command):
    """DELETE mailbox."""

    name: ClassVar[str] = "DELETE"
    mailbox: bytes


@dataclass(frozen=True, slots=True)
class Rename(Command):
    """RENAME source target."""

    name: ClassVar[str] = "RENAME"
    source: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Subscribe(Command):
    """SUBSCRIBE mailbox."""

    name: ClassVar[str] = "SUBSCRIBE"
    mailbox: bytes


@dataclass(frozen=True, slots=True)
class Unsubscribe(Command):
    """UNSUBSCRIBE mailbox."""

    name: ClassVar[str] = "UNSUBSCRIBE"
    mailbox: bytes


def read_create(c: Cursor, tag: str) -> Create:
    """Read a mailbox name and perhaps its special use."""
    c.sp()
    mailbox = c.astring()
    uses: list[str] = []
    if not c.at_end():
        c.sp()
        c.open()
        if c.word() != b"USE":
            raise BadSyntaxError("unknown parameter")
        c.sp()
        c.open()
        over = c.empty()
        while not over:
            if not c.take(b"\\"):
                raise BadSyntaxError("special use expected")
            uses.append("\\" + c.atom().decode("ascii"))
            over = c.close()
        if not c.close():
            raise BadSyntaxError('")" expected')
        c.end()
    return Create(tag, mailbox, tuple(uses))


def read_delete(c: Cursor, tag: str) -> Delete:
    """Read a mailbox name."""
    return Delete(tag, _one(c))


def read_rename(c: Cursor, tag: str) -> Rename:
    """Read two mailbox names."""
    c.sp()
    source = c.astring()
    return Rename(tag, source, _one(c))


def read_subscribe(c: Cursor, tag: str) -> Subscribe:
    """Read a mailbox name."""
    return Subscribe(tag, _one(c))


def read_unsubscribe(c: Cursor, tag: str) -> Unsubscribe:
    """Read a mailbox name."""
    return Unsubscribe(tag, _one(c))


def _one(c: Cursor) -> bytes:
    c.sp()
    mailbox = c.astring()
    c.end()
    return mailbox
