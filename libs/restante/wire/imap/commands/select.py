"""SELECT, EXAMINE (RFC 3501 section 6.3.1, RFC 7162), CHECK, CLOSE, UNSELECT (RFC 3691)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command
from restante.wire.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Qresync:
    """The QRESYNC parameter (RFC 7162 section 3.2.5)."""

    uidvalidity: int
    modseq: int
    known_uids: SequenceSet | None = None
    known_sequence: SequenceSet | None = None  # the sequence match data; both or none
    known_sequence_uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Select(Command):
    """SELECT or EXAMINE. `mailbox` is the IMAP name as sent: see MailboxNames."""

    name: ClassVar[str] = "SELECT"
    mailbox: bytes
    examine: bool = False
    condstore: bool = False
    qresync: Qresync | None = None


@dataclass(frozen=True, slots=True)
class Check(Command):
    """CHECK."""

    name: ClassVar[str] = "CHECK"


@dataclass(frozen=True, slots=True)
class Close(Command):
    """CLOSE: expunges without telling, then deselects."""

    name: ClassVar[str] = "CLOSE"


@dataclass(frozen=True, slots=True)
class Unselect(Command):
    """UNSELECT: deselects without expunging."""

    name: ClassVar[str] = "UNSELECT"
