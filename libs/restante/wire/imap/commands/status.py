"""STATUS (RFC 3501 section 6.3.10, RFC 7162, RFC 8438)."""

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Final

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor


class StatusItem(IntFlag):
    """What STATUS asks for, as a mask."""

    MESSAGES = 1
    RECENT = 2
    UIDNEXT = 4
    UIDVALIDITY = 8
    UNSEEN = 16
    DELETED = 32
    SIZE = 64
    HIGHESTMODSEQ = 128


@dataclass(frozen=True, slots=True)
class Status(Command):
    """STATUS mailbox (items)."""

    name: ClassVar[str] = "STATUS"
    mailbox: bytes
    items: StatusItem


_ITEMS: Final = {item.name.encode(): item.value for item in StatusItem if item.name}


def read_status(c: Cursor, tag: str) -> Status:
    """Read a mailbox name and the items."""
    c.sp()
    mailbox = c.astring()
    c.sp()
    items = read_items(c)
    c.end()
    return Status(tag, mailbox, items)


def read_items(c: Cursor) -> StatusItem:
    """Read `(MESSAGES UNSEEN ...)`."""
    c.open()
    mask = 0
    while True:
        item = _ITEMS.get(c.word())
        if item is None:
            raise BadSyntaxError("unknown status item")
        mask |= item
        if c.close():
            return StatusItem(mask)
