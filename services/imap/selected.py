"""The selected mailbox of one session: numbering, read-only or not, what the client was told.

Invariants
- Sequence numbers belong to `view` and move only in `Session.updates`; so a command may keep them
  across awaits. Rows belong to one Columns object: a handler takes `mailbox.columns` after its
  last await, looks rows up in it, and reads nothing else with them.
- `told` holds, during one command, the modseq of this session's own flag changes that the client
  knows already (from STORE's answer) or asked not to be told (.SILENT, RFC 3501 section 6.4.6).
  The update at the command's end leaves such a message out only while it still has that modseq: a
  change by another session in between is told (RFC 7162 section 3.1.3 wants no less).
"""

from array import array
from collections.abc import Callable, Iterator, Sequence

from restante.model import ErrorKind, Flag, FolderName, MailError
from restante.store.columns import Columns
from restante.store.mailbox import Mailbox
from restante.wire.imap.sequence_set import STAR, SequenceSet
from services.imap.render import SYSTEM_FLAGS, FlagText

Run = tuple[Sequence[int], Sequence[int]]
"""Sequence numbers and the UIDs that belong to them."""

_UNSEEN = bytes(0 if value & Flag.SEEN else 1 for value in range(256))


class Selected:
    """A mailbox in use by a session."""

    __slots__ = (
        "_announced",
        "flag_text",
        "last_body",
        "mailbox",
        "readonly",
        "refreshed",
        "saved",
        "told",
        "unwatch",
        "view",
    )

    def __init__(self, mailbox: Mailbox, *, readonly: bool, now: float) -> None:
        self.mailbox = mailbox
        self.readonly = readonly
        self.view = mailbox.view(readonly=readonly)
        self.flag_text = FlagText()
        self.flag_text.use(mailbox.keywords)
        self._announced = mailbox.keywords
        self.told: dict[int, int] = {}  # uid -> modseq
        self.unwatch: Callable[[], None] | None = None
        self.refreshed = now  # loop time of the last look at the disk
        self.saved: Sequence[int] = ()  # UIDs of the last SEARCH RETURN (SAVE) (RFC 5182)
        self.last_body: tuple[int, bytes] | None = None  # a large message that is read in pieces

    @property
    def name(self) -> FolderName:
        """Return the folder."""
        return self.mailbox.name

    def flags_lines(self) -> bytes:
        """Return FLAGS and PERMANENTFLAGS (RFC 3501 section 7.1), and remember them as told."""
        self._announced = self.mailbox.keywords
        names = b" ".join([SYSTEM_FLAGS, b"$Forwarded", *(k.encode() for k in self._announced)])
        permanent = b"" if self.readonly else names + b" \\*"
        return b"* FLAGS (%b)\r\n* OK [PERMANENTFLAGS (%b)] Flags kept\r\n" % (names, permanent)

    def new_flags_lines(self) -> bytes:
        """Return them again where keywords were added since, else b""."""
        return self.flags_lines() if self.mailbox.keywords != self._announced else b""

    def first_unseen(self) -> int:
        r"""Return the sequence number of the first message without \Seen, 0 for none.

        Right after SELECT only, when every row has the sequence number row + 1.
        """
        flags = self.mailbox.columns.flags
        return flags[: self.view.count].tobytes().translate(_UNSEEN).find(b"\1") + 1

    def runs(self, messages: SequenceSet, *, uid: bool, size: int) -> Iterator[Run]:
        """Yield the messages of a set, `size` at a time.

        MailError(BAD_REQUEST) if a sequence number above EXISTS is named; UIDs that are not there
        are left out (RFC 3501 section 6.4.8).
        """
        uids = self.view.uids()
        if messages.saved:
            known = set(self.saved)
            seqs = [seq for seq, number in enumerate(uids, 1) if number in known]
            for at in range(0, len(seqs), size):
                some = seqs[at : at + size]
                yield some, array("I", [uids[seq - 1] for seq in some])
            return
        if not uid:
            self.check(messages)
        numbers = uids if uid else range(1, len(uids) + 1)
        for start, stop in messages.ranges(numbers):
            for at in range(start, stop, size):
                end = min(at + size, stop)
                yield range(at + 1, end + 1), uids[at:end]

    def check(self, messages: SequenceSet) -> None:
        """MailError(BAD_REQUEST) if a sequence number above EXISTS is named.

        "*" in an empty mailbox names nothing and is let pass: clients send FETCH 1:* unasked.
        """
        count = self.view.count
        if messages.beyond(count) and (count or messages.intervals[-1][1] < STAR):
            raise MailError(ErrorKind.BAD_REQUEST, "No message has that number.")

    def uids_of(self, messages: SequenceSet, *, uid: bool) -> list[int]:
        """Return the UIDs of a set, ascending. Raises as `runs`."""
        out: list[int] = []
        for _, uids in self.runs(messages, uid=uid, size=1 << 32):
            out += uids
        return out

    def deleted(self, uids: Sequence[int]) -> list[int]:
        r"""Return those of the UIDs that have \Deleted now."""
        columns = self.mailbox.columns
        rows = rows_of(columns, uids)
        flags = columns.flags
        if isinstance(rows, range):
            pairs = zip(uids, flags[rows.start : rows.stop], strict=True)
            return [uid for uid, mask in pairs if mask & Flag.DELETED]
        pairs = zip(uids, rows, strict=True)
        return [uid for uid, row in pairs if row >= 0 and flags[row] & Flag.DELETED]

    def any_gone(self, uids: Sequence[int]) -> bool:
        """True if one of the UIDs is not in the mailbox any more."""
        rows = rows_of(self.mailbox.columns, uids)
        return not isinstance(rows, range) and -1 in rows

    def close(self) -> None:
        """Stop watching and numbering; the mailbox itself is its user's to give back."""
        if self.unwatch is not None:
            self.unwatch()
            self.unwatch = None
        self.view.close()


def rows_of(columns: Columns, uids: Sequence[int]) -> Sequence[int]:
    """Return the row of each UID, -1 where it is gone. Neighbours cost one lookup for all."""
    if not uids:
        return ()
    first = columns.find(uids[0])
    if first >= 0 and columns.uids[first : first + len(uids)] == uids:
        return range(first, first + len(uids))
    return [columns.find(uid) for uid in uids]
