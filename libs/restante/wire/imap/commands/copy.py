"""COPY (RFC 3501 section 6.4.7), MOVE (RFC 6851), EXPUNGE and UID EXPUNGE (RFC 4315)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import Cursor
from restante.wire.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Copy(Command):
    """COPY or UID COPY."""

    name: ClassVar[str] = "COPY"
    uid: bool
    messages: SequenceSet
    mailbox: bytes


@dataclass(frozen=True, slots=True)
class Move(Command):
    """MOVE or UID MOVE."""

    name: ClassVar[str] = "MOVE"
    uid: bool
    messages: SequenceSet
    mailbox: bytes


@dataclass(frozen=True, slots=True)
class Expunge(Command):
    """EXPUNGE, or UID EXPUNGE where `uids` is set."""

    name: ClassVar[str] = "EXPUNGE"
    uids: SequenceSet | None = None


def read_copy(c: Cursor, tag: str) -> Copy:
    """Read the arguments of COPY."""
    return Copy(tag, False, *_target(c))


def read_uid_copy(c: Cursor, tag: str) -> Copy:
    """Read the arguments of UID COPY."""
    return Copy(tag, True, *_target(c))


def read_move(c: Cursor, tag: str) -> Move:
    """Read the arguments of MOVE."""
    return Move(tag, False, *_target(c))


def read_uid_move(c: Cursor, tag: str) -> Move:
    """Read the arguments of UID MOVE."""
    return Move(tag, True, *_target(c))


def read_expunge(c: Cursor, tag: str) -> Expunge:
    """Read nothing."""
    c.end()
    return Expunge(tag)


def read_uid_expunge(c: Cursor, tag: str) -> Expunge:
    """Read a UID set."""
    c.sp()
    uids = c.sequence_set()
    c.end()
    return Expunge(tag, uids)


def _target(c: Cursor) -> tuple[SequenceSet, bytes]:
    c.sp()
    messages = c.sequence_set()
    c.sp()
    mailbox = c.astring()
    c.end()
    return messages, mailbox
