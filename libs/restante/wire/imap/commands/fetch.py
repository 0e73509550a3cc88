"""FETCH (RFC 3501 section 6.4.5, RFC 7162)."""

from dataclasses import dataclass
from typing import ClassVar, Final

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor
from restante.wire.imap.fetch_items import FetchAtt, FetchItems, read_items
from restante.wire.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Fetch(Command):
    """FETCH or UID FETCH. `items.mask` contains what is implied: UID for UID FETCH, MODSEQ
    for CHANGEDSINCE.
    """

    name: ClassVar[str] = "FETCH"
    uid: bool
    messages: SequenceSet
    items: FetchItems
    changed_since: int | None = None
    vanished: bool = False


_UID: Final = FetchAtt.UID.value
_MODSEQ: Final = FetchAtt.MODSEQ.value


def read_fetch(c: Cursor, tag: str) -> Fetch:
    """Read the arguments of FETCH."""
    return _fetch(c, tag, uid=False)


def read_uid_fetch(c: Cursor, tag: str) -> Fetch:
    """Read the arguments of UID FETCH."""
    return _fetch(c, tag, uid=True)


def _fetch(c: Cursor, tag: str, *, uid: bool) -> Fetch:
    c.sp()
    messages = c.sequence_set()
    c.sp()
    items = read_items(c)
    changed_since: int | None = None
    vanished = False
    if not c.at_end():
        c.sp()
        c.open()
        over = False
        while not over:
            name = c.word()
            if name == b"CHANGEDSINCE":
                c.sp()
                changed_since = c.number()
            elif name == b"VANISHED":
                vanished = True
            else:
                raise BadSyntaxError("unknown modifier")
            over = c.close()
        c.end()
    if vanished and (not uid or changed_since is None):
        raise BadSyntaxError("VANISHED needs UID FETCH and CHANGEDSINCE")
    implied = (_UID if uid else 0) | (_MODSEQ if changed_since is not None else 0)
    return Fetch(tag, uid, messages, items.including(implied), changed_since, vanished)
