"""STORE (RFC 3501 section 6.4.6, RFC 7162)."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from restante.model import Flag
from restante.wire.imap.commands.command import Command
from restante.wire.imap.sequence_set import SequenceSet


class StoreMode(Enum):
    """FLAGS, +FLAGS or -FLAGS."""

    SET = "set"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Store(Command):
    """STORE or UID STORE."""

    name: ClassVar[str] = "STORE"
    uid: bool
    messages: SequenceSet
    mode: StoreMode
    silent: bool
    flags: Flag
    keywords: tuple[str, ...] = ()
    unchanged_since: int | None = None
