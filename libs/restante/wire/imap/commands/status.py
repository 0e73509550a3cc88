"""STATUS (RFC 3501 section 6.3.10, RFC 7162, RFC 8438)."""

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar

from restante.wire.imap.commands.command import Command


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
