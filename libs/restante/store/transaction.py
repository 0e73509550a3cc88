"""One turn of one process at a folder: lock, catch up, change files, append records, unlock.

Order of files and journal, so that a crash (kill -9 between any two calls) is mended by the next
refresh of any process, which sees that a directory's mtime is not the remembered one:

- Flags: rename, then record. In between, the name has the new flags and the index the old ones;
  the next listing takes over the name. (The other way round the index would claim flags that the
  file never got, and nothing would ever notice.) Keywords are in the record alone: all or nothing.
- New mail: rename new -> cur, then record, synced, then announced. In between, an unknown file is
  in cur/ and gets its UID from the next listing. If a power cut undoes the rename after the record
  was synced, the file is in new/ under a base name that has a UID, and is moved again.
- Removal: unlink, then record. In between, the listing misses the file and expunges the UID. (The
  other way round the file would come back as a new message.)
- What a power cut may undo: on journaling file systems and on an NFS server the sync of the journal
  also keeps the renames and unlinks before it; where it does not, the next listing tells again.
- UIDs: the record that gives a UID is synced before memory, and so any session, learns of it.
  A UID is spent when its record is written, even if the writer dies before the sync.

Memory follows the records (`Replay`), with one exception: when the disk is full. Then flags and
removals, which the files show already, are applied to memory alone, and the mailbox is marked
`unsaved`: its next turn reads the journal anew, lists cur/ and finds the differences again. New
messages and keywords wait until there is room.
"""

import os
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from restante.model import ErrorKind, MailError
from restante.store import records
from restante.store.changes import Change
from restante.store.faults import FULL, as_mail_error
from restante.store.index import MAX_KEYWORDS, Index, Replay
from restante.store.journal import Journal, open_journal
from restante.store.loading import Origin, catch_up, rewrite
from restante.store.records import Added, Kind
from restante.store.scan import directory_mtime, list_directory, settling_is_due

if TYPE_CHECKING:
    from restante.store.mailbox import Mailbox

_COMPACT_RECORDS: Final = 1000
_COMPACT_ROWS_PER_RECORD: Final = 50


class Transaction:
    """The folder while we hold its lock. `index` is up to date and ours to change by records."""

    __slots__ = (
        "_keywords",
        "_out",
        "_out_new",
        "_reloaded",
        "_trusted_cur",
        "cur_mtime",
        "cur_settled",
        "folder",
        "fresh",
        "importing",
        "index",
        "journal",
        "mailbox",
        "modseq",
        "new_mtime",
        "new_settled",
        "uidnext",
    )

    def __init__(self, mailbox: "Mailbox", folder: int, journal: Journal) -> None:
        self.mailbox = mailbox
        self.folder = folder
        self.journal = journal
        self._out: list[tuple[Kind, bytes, int]] = []  # kind, payload, modseq
        self._out_new: list[Added] = []
        self._keywords: dict[str, int] = {}  # with those that are emitted and not committed
        self._trusted_cur: bool | None = None  # None: cur/ was not touched by us
        self.index, origin = catch_up(mailbox, journal)
        self.fresh = origin in (Origin.FRESH, Origin.UNKNOWN_FOLDER)  # `commit` writes it then
        self.importing = origin is Origin.UNKNOWN_FOLDER
        self._reloaded = origin is not Origin.KEPT
        self._take_marks()

    def _take_marks(self) -> None:
        index = self.index
        self.modseq = index.highest_modseq
        self.uidnext = index.uidnext
        self.new_mtime, self.cur_mtime = index.new_mtime, index.cur_mtime
        self.new_settled, self.cur_settled = index.new_settled, index.cur_settled

    # --- records to write -----------------------------------------------------------------------

    def next_modseq(self) -> int:
        """Return the MODSEQ of the changes that follow."""
        self.modseq += 1
        return self.modseq

    def emit(self, kind: Kind, payload: bytes) -> None:
        """Have a record written by `commit`, with the latest MODSEQ."""
        self._out.append((kind, payload, self.modseq))

    def keyword_mask(self, keywords: Iterable[str], *, define: bool = True) -> int:
        """Return the bits of keywords, compared without case; unknown ones get a bit, or are left
        out without `define`.

        MailError(LIMIT), before anything is emitted, where the folder would have too many.
        """
        known = dict(self._keywords)
        if not known:
            known = {word.lower(): bit for bit, word in enumerate(self.index.keywords)}
        fresh: list[tuple[int, bytes]] = []
        mask = 0
        for word in keywords:
            bit = known.get(word.lower())
            if bit is None:
                if not define:
                    continue
                bit = known[word.lower()] = len(known)
                fresh.append((bit, word.encode()))
            mask |= 1 << bit
        if len(known) > MAX_KEYWORDS:
            raise MailError(ErrorKind.LIMIT, f"a folder holds {MAX_KEYWORDS} keywords at most")
        if fresh:
            self._keywords = known
            self.emit(Kind.KEYWORD, records.pack_texts(fresh))
        return mask

    def add(self, added: Added) -> None:
        """Have a message added; its UID is self.uidnext, which is counted up."""
        self._out_new.append(added)
        self.uidnext = added.uid + 1

    def expunge(self, uids: Sequence[int]) -> None:
        """Have UIDs removed whose files are gone."""
        self.next_modseq()
        self.emit(Kind.EXPUNGE, records.pack_uids(sorted(uids)))

    @contextmanager
    def changing_cur(self) -> Iterator[None]:
        """Enclose our own renames in cur/, see rule 2 of scan.py."""
        if self._trusted_cur is None:
            self._trusted_cur = directory_mtime(self.folder, "cur") == self.cur_mtime
        try:
            yield
        finally:
            if self._trusted_cur:
                self.cur_mtime = directory_mtime(self.folder, "cur")
                self.cur_settled = False
            self._trusted_cur = None

    def commit(self, *, sync: bool = True, wait_for_room: bool = False) -> None:
        """Write what was emitted, then apply it to memory.

        New messages cannot be announced when the disk is full: MailError(TEMPORARY), or with
        `wait_for_room` they are left for a later refresh.
        """
        index, mailbox, journal = self.index, self.mailbox, self.journal
        pieces = self._encode(self._out_new)
        if not pieces and not self.fresh:
            return
        data = b"".join(pieces)
        added = bool(self._out_new)
        try:
            if self.fresh:
                self._replay(data)
                journal.begin(index.uidvalidity, index.snapshot())
                self.fresh = False
                mailbox.log_records = 0
                mailbox.file_id = journal.header.file_id if journal.header else 0
            else:
                journal.append(data, sync=sync)
                self._replay(data)
            mailbox.tail = journal.end
            mailbox.unsaved = False
        except OSError as error:
            if error.errno not in FULL:
                raise
            mailbox.unsaved = True
            if not self.fresh:
                self._replay(b"".join(self._encode(())))
                if added and not wait_for_room:
                    raise MailError(ErrorKind.TEMPORARY, "the disk is full") from error
        finally:
            self._out.clear()
            self._out_new.clear()
            self._keywords = {}
            self._take_marks()

    def _encode(self, new: Iterable[Added]) -> list[bytes]:
        index = self.index
        uidvalidity, uidnext = index.uidvalidity, self.uidnext
        new = list(new)
        pieces = [
            records.encode(Kind.ADD, records.pack_add(a), uidvalidity, uidnext, self.modseq)
            for a in new
        ]
        known = {a.uid for a in new}
        skip = {a.uid for a in self._out_new} - known
        for kind, payload, modseq in self._out:
            if skip and kind in (Kind.UIDL, Kind.FILENAME):
                continue
            pieces.append(records.encode(kind, payload, uidvalidity, uidnext, modseq))
        marks = (self.new_mtime, self.cur_mtime, self.new_settled, self.cur_settled)
        if skip:  # files without a UID are there: they must be found again
            marks = (-1, -1, False, False)
        if marks != (index.new_mtime, index.cur_mtime, index.new_settled, index.cur_settled):
            pieces.append(
                records.encode(
                    Kind.DIRECTORIES,
                    records.pack_directories(*marks),
                    uidvalidity,
                    uidnext,
                    self.modseq,
                )
            )
        return pieces

    def _replay(self, data: bytes) -> None:
        replay = Replay(self.index)
        for record in records.records(memoryview(data), 0):
            replay.apply(record)
        replay.finish()
        self.mailbox.log_records += replay.count

    def restart(self) -> None:
        """Go on from the index as it is now: it was changed and written as a whole."""
        self._take_marks()

    # --- the end of a turn ----------------------------------------------------------------------

    def publish(self) -> None:
        """Give a reloaded index to the sessions, with what differs from the one they know."""
        mailbox = self.mailbox
        if not self._reloaded:
            return
        self._reloaded = False
        old, new = mailbox.index, self.index
        if old is not None and old is not new and old.uidvalidity == new.uidvalidity:
            back = [
                uid for uid in new.columns.uids if uid < old.uidnext and old.columns.find(uid) < 0
            ]
            if back:
                # They were announced as gone. If the files are there, they are new messages.
                self.expunge(back)
                self.new_mtime = self.cur_mtime = -1
                self.commit()
            link_difference(old, self.index)
        mailbox.index = self.index

    def compact_if_due(self) -> None:
        """Write the journal anew when replaying its log costs more than loading its snapshot."""
        rows = len(self.index.columns)
        limit = _COMPACT_RECORDS + rows // _COMPACT_ROWS_PER_RECORD
        mailbox = self.mailbox
        if mailbox.log_records <= limit or mailbox.unsaved or self.fresh:
            return
        try:
            rewrite(mailbox, self.journal, self.index)
        except OSError:
            # The old file is whole and goes on; try again when it has grown as much again.
            mailbox.log_records = 0

    # --- directories ----------------------------------------------------------------------------

    def cur_is_due(self, mtime: int) -> bool:
        """Tell whether cur/ must be listed."""
        if mtime != self.cur_mtime:
            return True
        return not self.cur_settled and settling_is_due(
            mtime, time.time_ns(), len(self.index.columns)
        )

    def locate(self, bases: Iterable[bytes]) -> dict[bytes, bytes]:
        """Find where files of these base names are now: {base: "cur/name" or "new/name"}.

        A name that is missing is looked for twice, since a listing may skip a file that is being
        renamed.
        """
        wanted = set(bases)
        found: dict[bytes, bytes] = {}
        for _ in range(2):
            for directory in ("new", "cur"):
                for name in list_directory(self.folder, directory):
                    base = name.partition(b":2,")[0]
                    if base in wanted:
                        found[base] = os.path.join(directory.encode(), name)
            if len(found) == len(wanted):
                break
        return found


def link_difference(old: Index, new: Index) -> None:
    """Link the changes that turn `old` into `new` to the chain that views of `old` follow."""
    before, after = old.columns, new.columns
    removed: list[int] = []
    changed: list[int] = []
    for row, uid in enumerate(before.uids):
        other = after.find(uid)
        if other < 0:
            removed.append(uid)
        elif (
            before.flags[row] != after.flags[other]
            or before.keyword_bits[row] != after.keyword_bits[other]
        ):
            changed.append(uid)
    change = Change(new.highest_modseq, array("I", changed), array("I", removed))
    before.change.next = change
    after.change = change


@contextmanager
def transaction(mailbox: "Mailbox") -> Iterator[Transaction]:
    """Take a turn at a mailbox. BLOCKING; the caller holds the mailbox's own mutex.

    OSError becomes MailError: TEMPORARY, or NO_SUCH_FOLDER where the directories are gone.
    """
    folder = mailbox.open_folder()
    try:
        with open_journal(folder) as journal:
            turn = Transaction(mailbox, folder, journal)
            try:
                yield turn
            finally:
                turn.publish()
            turn.compact_if_due()
    except OSError as error:
        raise as_mail_error(error) from error
    finally:
        os.close(folder)
