"""LIST and LSUB (RFC 3501 sections 6.3.8, 6.3.9), extended LIST (RFC 5258, 5819, 6154),
NAMESPACE (RFC 2342).
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Final

from restante.wire.imap.commands.command import Command
from restante.wire.imap.commands.status import StatusItem


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
