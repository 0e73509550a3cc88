"""What happened to a folder, as a chain that sessions walk at their own pace.

Each change of flags or removal makes one Change and links it to the one before. A view keeps the
link that it has told its client about; what lies behind is freed with the last view that needed
it. So a change costs its own UIDs once, however many sessions watch, and a folder without sessions
keeps nothing.

Order of publication, by the writer: fill the columns, link the change, then set `columns.change`.
A reader takes `columns` once and walks to `columns.change`, never beyond.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class Change:
    """One step: UIDs whose flags changed, UIDs that are gone (ascending), and what came next."""

    __slots__ = ("changed", "modseq", "next", "removed")

    def __init__(
        self, modseq: int, changed: Sequence[int] = (), removed: Sequence[int] = ()
    ) -> None:
        self.modseq = modseq
        self.changed = changed
        self.removed = removed
        self.next: Change | None = None


NAMED: Final = 50  # messages of one STORE that are named as read for the first time


class StoreMode(Enum):
    """How a STORE combines (RFC 3501 section 6.4.6)."""

    SET = "set"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What `Mailbox.store` did, in UIDs.

    `modseq` is what the changed messages carry now, 0 where none changed: a session recognises its
    own change by it in `Updates.changed`.
    """

    changed: list[int] = field(default_factory=list)
    modified: list[int] = field(default_factory=list)  # UNCHANGEDSINCE failed (RFC 7162 3.1.3)
    gone: list[int] = field(default_factory=list)
    modseq: int = 0
    # \Seen is new on these: `seen` in all, of which `read` has the base names of the first few.
    seen: int = 0
    read: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Updates:
    """What a session tells its client, in this order: expunges, then EXISTS, RECENT, flags.

    `expunged` are sequence numbers that hold when sent in this order, one EXPUNGE each; `vanished`
    the same messages as UIDs, ascending. `exists` and `recent` are None where unchanged.
    """

    expunged: list[int] = field(default_factory=list)
    vanished: list[int] = field(default_factory=list)
    exists: int | None = None
    recent: int | None = None
    changed: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.expunged or self.changed or self.exists is not None or self.recent is not None
        )
