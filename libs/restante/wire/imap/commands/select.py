"""SELECT, EXAMINE (RFC 3501 section 6.3.1, RFC 7162), CHECK, CLOSE, UNSELECT (RFC 3691)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor
from restante.wire.imap.sequence_set import STAR, SequenceSet


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


def read_select(c: Cursor, tag: str) -> Select:
    """Read a mailbox name and perhaps parameters."""
    return _select(c, tag, examine=False)


def read_examine(c: Cursor, tag: str) -> Select:
    """Read what SELECT reads."""
    return _select(c, tag, examine=True)


def read_check(c: Cursor, tag: str) -> Check:
    """Read nothing."""
    c.end()
    return Check(tag)


def read_close(c: Cursor, tag: str) -> Close:
    """Read nothing."""
    c.end()
    return Close(tag)


def read_unselect(c: Cursor, tag: str) -> Unselect:
    """Read nothing."""
    c.end()
    return Unselect(tag)


def _select(c: Cursor, tag: str, *, examine: bool) -> Select:
    c.sp()
    mailbox = c.astring()
    condstore = False
    qresync: Qresync | None = None
    if not c.at_end():
        c.sp()
        c.open()
        over = False
        while not over:
            name = c.word()
            if name == b"CONDSTORE":
                condstore = True
            elif name == b"QRESYNC" and qresync is None:
                c.sp()
                qresync = _qresync(c)
            else:
                raise BadSyntaxError("unknown parameter")
            over = c.close()
        c.end()
    return Select(tag, mailbox, examine, condstore, qresync)


def _qresync(c: Cursor) -> Qresync:
    c.open()
    uidvalidity = c.number((1 << 32) - 1)
    c.sp()
    modseq = c.number()
    known: SequenceSet | None = None
    pair: tuple[SequenceSet | None, SequenceSet | None] = (None, None)
    over = c.close()
    if not over and not c.sees(b"("):
        known = _plain_set(c)
        over = c.close()
    if not over:
        c.open()
        sequence = _plain_set(c)
        c.sp()
        pair = (sequence, _plain_set(c))
        if not (c.close() and c.close()):
            raise BadSyntaxError('")" expected')
    if not uidvalidity or not modseq:
        raise BadSyntaxError("number is too small")
    return Qresync(uidvalidity, modseq, known, *pair)


def _plain_set(c: Cursor) -> SequenceSet:
    numbers = c.sequence_set()
    if numbers.saved or numbers.intervals[-1][1] >= STAR:
        raise BadSyntaxError("bad sequence set")
    return numbers
