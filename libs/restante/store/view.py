"""A session's numbering of a folder: which messages it knows, by position.

A view holds two places in the chain of changes and a count, nothing per message. Its sequence
numbers are positions in the UID array of the time when it last told its client about expunges;
as long as nothing was expunged that is the mailbox's own, shared array, of which the view knows
the first `count` items.

While a client must not be told about expunges (RFC 3501 section 7.4.1), the view stays with the
old array and tells flags alone: new messages come after the expunges, since the numbers of an
EXISTS count them. A message that others expunged keeps its number, `Mailbox.find` no longer knows
it, and reading it fails with GONE.

\\Recent: each new message is recent in the first view that may claim it. Claims are kept in the
mailbox and written to the journal by the next refresh, so two processes may both show a message as
recent, which RFC 3501 section 2.3.2 allows.

All methods run on the event loop's thread and never block.
"""

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

from restante.model import ErrorKind, MailError
from restante.store.changes import Change, Updates

if TYPE_CHECKING:
    from restante.store.mailbox import Mailbox


class View:
    """One session's view. Made by `Mailbox.view`."""

    __slots__ = (
        "_count",
        "_flags_at",
        "_recent",
        "_recent_told",
        "_removed_at",
        "_uids",
        "_uidvalidity",
        "mailbox",
        "readonly",
    )

    def __init__(self, mailbox: "Mailbox", *, readonly: bool = False) -> None:
        columns = mailbox.columns
        self.mailbox = mailbox
        self.readonly = readonly
        self._uidvalidity = mailbox.uidvalidity
        self._uids = columns.uids
        self._count = len(columns.uids)
        self._removed_at = columns.change
        self._flags_at = columns.change
        # UIDs that are recent here, as flat (first, behind last) pairs.
        self._recent: tuple[int, ...] = ()
        self._claim()
        self._recent_told = self.recent

    @property
    def count(self) -> int:
        """Number of messages: the highest sequence number."""
        return self._count

    @property
    def recent(self) -> int:
        """Number of messages that are \\Recent in this view."""
        pairs = self._recent
        return sum(
            self._position(pairs[i + 1]) - self._position(pairs[i]) for i in range(0, len(pairs), 2)
        )

    @property
    def valid(self) -> bool:
        """False when the folder got another UIDVALIDITY: the session must select it again."""
        return self.mailbox.uidvalidity == self._uidvalidity

    def is_recent(self, uid: int) -> bool:
        """Tell whether a message is \\Recent in this view."""
        pairs = self._recent
        return any(pairs[i] <= uid < pairs[i + 1] for i in range(0, len(pairs), 2))

    def uid_at(self, seq: int) -> int:
        """Return the UID of a sequence number (1..count). IndexError outside."""
        if not 0 < seq <= self._count:
            raise IndexError(seq)
        return self._uids[seq - 1]

    def seq_of(self, uid: int) -> int | None:
        """Return the sequence number of a UID, None where the view has no such message."""
        at = self._position(uid)
        return at + 1 if at < self._count and self._uids[at] == uid else None

    def uids(self) -> "array[int]":
        """Return the UIDs of the view, ascending; a copy."""
        return self._uids[: self._count]

    def pending(self) -> bool:
        """Tell whether `poll(expunge=True)` would have something, at the cost of comparisons."""
        columns = self.mailbox.columns
        return (
            columns.change is not self._flags_at
            or columns.change is not self._removed_at
            or len(columns.uids) != self._count
            or not self.valid
        )

    def poll(self, *, expunge: bool) -> Updates:
        """Move on to the folder's present state and return what the client must be told.

        `expunge` False withholds expunges, and with them new messages where there are expunges.
        MailError(GONE) when the view is not valid any more.
        """
        if not self.valid:
            raise MailError(ErrorKind.GONE, "the mailbox was replaced, select it again")
        columns = self.mailbox.columns
        last = columns.change
        changed = self._flags_changed(last)
        expunged: list[int] = []
        vanished: list[int] = []
        removed = self._removed(last)
        if removed and not expunge:
            return Updates(changed=changed)
        if removed:
            vanished = removed
            for already, uid in enumerate(removed):
                expunged.append(self._position(uid) + 1 - already)
        self._removed_at = last
        before = self._count - len(expunged)
        self._uids = columns.uids
        self._count = len(columns.uids)
        if self._count > before:
            self._claim()
        recent = self.recent
        exists = self._count if self._count != before else None
        tell_recent = recent if recent != self._recent_told else None
        self._recent_told = recent
        if vanished and changed:
            gone = set(vanished)
            changed = [uid for uid in changed if uid not in gone]
        return Updates(expunged, vanished, exists, tell_recent, changed)

    def close(self) -> None:
        """Let go of the mailbox's arrays and changes."""
        self._uids = array("I")
        self._count = 0
        self._recent = ()
        self._removed_at = self._flags_at = Change(0)

    def _flags_changed(self, last: Change) -> list[int]:
        """Return UIDs of this view whose flags changed up to `last`, ascending, each once."""
        at = self._flags_at
        if at is last:
            return []
        limit = self._uids[self._count - 1] if self._count else 0
        changed: set[int] = set()
        while at is not last and at.next is not None:
            at = at.next
            changed.update(uid for uid in at.changed if uid <= limit)
        self._flags_at = last
        return sorted(changed)

    def _removed(self, last: Change) -> list[int]:
        """Return UIDs of this view that were removed up to `last`, ascending."""
        at = self._removed_at
        removed: list[int] = []
        while at is not last and at.next is not None:
            at = at.next
            removed += [uid for uid in at.removed if self.seq_of(uid) is not None]
        removed.sort()
        return removed

    def _claim(self) -> None:
        """Take the messages that no session has had yet as recent."""
        if not self._count:
            return
        behind = self._uids[self._count - 1] + 1
        first = self.mailbox.claim_recent(behind, keep=not self.readonly)
        if first < behind:
            pairs = self._recent
            if pairs and pairs[-1] >= first:
                self._recent = (*pairs[:-1], behind)
            else:
                self._recent = (*pairs, first, behind)

    def _position(self, uid: int) -> int:
        return bisect_left(self._uids, uid, 0, self._count)
