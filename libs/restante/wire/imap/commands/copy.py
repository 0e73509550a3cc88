"""COPY (RFC 3501 section 6.4.7), MOVE (RFC 6851), EXPUNGE and UID EXPUNGE (RFC 4315)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command
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
