"""STORE (RFC 3501 section 6.4.6, RFC 7162)."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

from restante.model import Flag
from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor
from restante.wire.imap.flags import read_flags
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


_ACTIONS: Final = {
    b"FLAGS": (StoreMode.SET, False),
    b"FLAGS.SILENT": (StoreMode.SET, True),
    b"+FLAGS": (StoreMode.ADD, False),
    b"+FLAGS.SILENT": (StoreMode.ADD, True),
    b"-FLAGS": (StoreMode.REMOVE, False),
    b"-FLAGS.SILENT": (StoreMode.REMOVE, True),
}


def read_store(c: Cursor, tag: str) -> Store:
    """Read the arguments of STORE."""
    return _store(c, tag, uid=False)


def read_uid_store(c: Cursor, tag: str) -> Store:
    """Read the arguments of UID STORE."""
    return _store(c, tag, uid=True)


def _store(c: Cursor, tag: str, *, uid: bool) -> Store:
    c.sp()
    messages = c.sequence_set()
    c.sp()
    unchanged_since: int | None = None
    if c.sees(b"("):
        c.open()
        if c.word() != b"UNCHANGEDSINCE":
            raise BadSyntaxError("unknown modifier")
        c.sp()
        unchanged_since = c.number()
        if not c.close():
            raise BadSyntaxError('")" expected')
        c.sp()
    action = _ACTIONS.get(c.word())
    if action is None:
        raise BadSyntaxError("FLAGS, +FLAGS or -FLAGS expected")
    c.sp()
    flags, keywords = read_flags(c)
    c.end()
    return Store(tag, uid, messages, *action, flags, keywords, unchanged_since)
