"""LIST and LSUB (RFC 3501 sections 6.3.8, 6.3.9), extended LIST (RFC 5258, 5819, 6154),
NAMESPACE (RFC 2342).
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Final

from restante.wire.imap.commands.command import Command
from restante.wire.imap.commands.status import StatusItem, read_items
from restante.wire.imap.cursor import BadSyntaxError, Cursor


class ListSelect(IntFlag):
    """Selection options of an extended LIST (RFC 5258 section 3.1)."""

    SUBSCRIBED = 1
    REMOTE = 2
    RECURSIVEMATCH = 4
    SPECIAL_USE = 8


class ListReturn(IntFlag):
    """Return options of an extended LIST (RFC 5258 section 3.2). STATUS stands in `List.status`."""

    SUBSCRIBED = 1
    CHILDREN = 2
    SPECIAL_USE = 4


NO_SELECT: Final = ListSelect(0)
NO_RETURN: Final = ListReturn(0)
NO_STATUS: Final = StatusItem(0)


@dataclass(frozen=True, slots=True)
class List(Command):
    """LIST. `patterns` has one item unless the extended form was used.

    `status` is the item mask of RETURN (STATUS (...)), 0 for none.
    """

    name: ClassVar[str] = "LIST"
    reference: bytes
    patterns: tuple[bytes, ...]
    extended: bool = False  # selection or return options, or a pattern list
    select: ListSelect = NO_SELECT
    returns: ListReturn = NO_RETURN
    status: StatusItem = NO_STATUS


@dataclass(frozen=True, slots=True)
class Lsub(Command):
    """LSUB reference pattern."""

    name: ClassVar[str] = "LSUB"
    reference: bytes
    pattern: bytes


@dataclass(frozen=True, slots=True)
class Namespace(Command):
    """NAMESPACE."""

    name: ClassVar[str] = "NAMESPACE"


_SELECT: Final = {
    b"SUBSCRIBED": ListSelect.SUBSCRIBED,
    b"REMOTE": ListSelect.REMOTE,
    b"RECURSIVEMATCH": ListSelect.RECURSIVEMATCH,
    b"SPECIAL-USE": ListSelect.SPECIAL_USE,
}
_RETURN: Final = {
    b"SUBSCRIBED": ListReturn.SUBSCRIBED,
    b"CHILDREN": ListReturn.CHILDREN,
    b"SPECIAL-USE": ListReturn.SPECIAL_USE,
}
_MAX_PATTERNS: Final = 100


def read_list(c: Cursor, tag: str) -> List:
    """Read the plain or the extended form."""
    c.sp()
    extended = False
    select = NO_SELECT
    if c.sees(b"("):
        extended = True
        select = _selection(c)
        c.sp()
    reference = c.astring()
    c.sp()
    patterns: list[bytes] = []
    if c.sees(b"("):
        extended = True
        c.open()
        over = False
        while not over:
            patterns.append(c.list_mailbox())
            over = c.close()
        if len(patterns) > _MAX_PATTERNS:
            raise BadSyntaxError("too many patterns")
    else:
        patterns.append(c.list_mailbox())
    returns, status = NO_RETURN, NO_STATUS
    if not c.at_end():
        extended = True
        c.sp()
        if c.word() != b"RETURN":
            raise BadSyntaxError("unexpected argument")
        c.sp()
        returns, status = _returns(c)
        c.end()
    return List(tag, reference, tuple(patterns), extended, select, returns, status)


def read_lsub(c: Cursor, tag: str) -> Lsub:
    """Read reference and pattern."""
    c.sp()
    reference = c.astring()
    c.sp()
    pattern = c.list_mailbox()
    c.end()
    return Lsub(tag, reference, pattern)


def read_namespace(c: Cursor, tag: str) -> Namespace:
    """Read nothing."""
    c.end()
    return Namespace(tag)


def _selection(c: Cursor) -> ListSelect:
    mask = NO_SELECT
    c.open()
    over = c.empty()
    while not over:
        option = _SELECT.get(c.word())
        if option is None:
            raise BadSyntaxError("unknown selection option")
        mask |= option
        over = c.close()
    # RECURSIVEMATCH only modifies another option (RFC 5258 section 3.1); REMOTE does not count.
    if mask & ListSelect.RECURSIVEMATCH and not mask & (
        ListSelect.SUBSCRIBED | ListSelect.SPECIAL_USE
    ):
        raise BadSyntaxError("RECURSIVEMATCH needs another selection option")
    return mask


def _returns(c: Cursor) -> tuple[ListReturn, StatusItem]:
    mask, status = NO_RETURN, NO_STATUS
    c.open()
    over = c.empty()
    while not over:
        name = c.word()
        option = _RETURN.get(name)
        if option is not None:
            mask |= option
        elif name == b"STATUS":
            c.sp()
            status |= read_items(c)
        else:
            raise BadSyntaxError("unknown return option")
        over = c.close()
    return mask, status
