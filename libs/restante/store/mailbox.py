"""One folder as the sessions of a process share it.

Two kinds of callers:

- The event loop reads: columns, `find`, views, `cached_facts`. No lock, no waiting; what makes
  this right stands in columns.py and changes.py.
- Threads of the pool work: everything marked BLOCKING. One at a time for each mailbox of a
  process (`_mutex`), one at a time for each folder of the volume (the lock on the journal). A
  turn is: lock, read what others appended, list directories if their mtimes say so, change files,
  append records, sync, apply them to memory, unlock; transaction.py has the order in which a crash
  does no harm.

`refresh` first asks without a lock whether anything moved: the journal's identity and size, the
mtimes of new/ and cur/. Opening a file or directory makes a network client ask the server, so the
answer is not an old one; were it one, the next hint or rescan would come to the same question.

Lock order: a process takes the mutexes of two mailboxes, and their journals, only in `move`, in the
order of (Maildir, folder name); all other operations hold one folder at a time.
"""

import contextlib
import errno
import hashlib
import logging
import os
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from restante.model import ErrorKind, Flag, FolderName, MailError
from restante.store import change_flags, removal, transfer
from restante.store.cache import Cache
from restante.store.changes import StoreMode, StoreResult
from restante.store.columns import Columns
from restante.store.facts import Facts, compute_facts
from restante.store.faults import GONE, as_mail_error
from restante.store.identity import Identity, acting
from restante.store.index import Index
from restante.store.journal import NAME
from restante.store.layout import open_folder
from restante.store.lines import to_wire
from restante.store.metrics import FACTS_HIT, FACTS_MISS
from restante.store.nowait import directory_mtime as cached_mtime
from restante.store.nowait import head_and_size
from restante.store.reconcile import reconcile
from restante.store.records import HEADER_BYTES, Header, Kind, decode_mark, pack_number
from restante.store.scan import directory_mtime, settling_is_due
from restante.store.transaction import Transaction, transaction
from restante.store.view import View
from restante.store.watchers import Watchers

if TYPE_CHECKING:
    from restante.store.account import AccountStore
    from restante.store.delivery import Incoming

_log: Final = logging.getLogger(__name__)
_NOTHING: Final = Index(0)
_MAX_UIDL: Final = 70  # RFC 1939 section 7
# Without O_NONBLOCK a FIFO that somebody put there would hold the thread for ever.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_VISIBLE: Final = bytes(range(0x21, 0x7F))


class Mailbox:
    """A folder of one account. Small while idle: there may be ten thousand in a process."""

    __slots__ = (
        "__weakref__",
        "_cache",
        "_claimed",
        "_complained",
        "_mutex",
        "_watchers",
        "file_id",
        "index",
        "log_records",
        "name",
        "owner",
        "tail",
        "unsaved",
    )

    def __init__(self, owner: "AccountStore", name: FolderName) -> None:
        self.owner = owner
        self.name = name
        self.index: Index | None = None  # None until the first refresh
        # Where we are in the journal; these belong to the turn (transaction.py).
        self.file_id = 0
        self.tail = 0
        self.log_records = 0
        self.unsaved = False
        self._claimed = 0  # UIDs below were recent in a view; 0: the journal knows
        self._mutex = threading.Lock()
        self._cache: Cache | None = None
        self._watchers: Watchers | None = None
        self._complained = False

    @classmethod
    def open(cls, owner: "AccountStore", name: FolderName) -> "Mailbox":
        """Return a mailbox that has been refreshed once. BLOCKING; MailError."""
        mailbox = cls(owner, name)
        mailbox.refresh()
        return mailbox

    def release(self) -> None:
        """Give back what `AccountStore.open_mailbox` returned. BLOCKING at most shortly."""
        self.owner.mailbox_released(self)

    def try_release(self) -> bool:
        """As `release`, where that takes no waiting; False: nothing was done. Never blocks."""
        return self.owner.store.mailboxes.try_release(self)

    def close(self) -> None:
        """Give up the memory; nobody uses the mailbox any more. BLOCKING."""
        with contextlib.suppress(MailError):
            if self.index is not None and self._claimed > self.index.recent:
                self.refresh()
        if self._cache is not None:
            self._cache.release_memory()
        self.index = None

    # --- what the event loop reads --------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def columns(self) -> Columns:
        """All columns of one moment; take this once when several are combined."""
        return (self.index or _NOTHING).columns

    @property
    def uidvalidity(self) -> int:
        """UIDVALIDITY; 0 before the first refresh."""
        return (self.index or _NOTHING).uidvalidity

    @property
    def uidnext(self) -> int:
        """UIDNEXT: above every UID that was ever given out."""
        return (self.index or _NOTHING).uidnext

    @property
    def highest_modseq(self) -> int:
        """HIGHESTMODSEQ (RFC 7162)."""
        return (self.index or _NOTHING).highest_modseq

    @property
    def keywords(self) -> tuple[str, ...]:
        """Keywords of the folder; the n-th is bit n of the keyword bits."""
        return (self.index or _NOTHING).keywords

    @property
    def uids(self) -> "array[int]":
        """UIDs, ascending. These columns are parallel; do not write to them or export buffers."""
        return self.columns.uids

    @property
    def flags(self) -> "array[int]":
        """Flag masks (restante.model.Flag)."""
        return self.columns.flags

    @property
    def keyword_bits(self) -> "array[int]":
        """Masks over `keywords`."""
        return self.columns.keyword_bits

    @property
    def modseqs(self) -> "array[int]":
        """MODSEQ of each message's last change."""
        return self.columns.modseqs

    @property
    def wire_sizes(self) -> "array[int]":
        """Bytes with CRLF line ends (RFC822.SIZE)."""
        return self.columns.wire_sizes

    @property
    def dates(self) -> "array[int]":
        """INTERNALDATE in Unix seconds."""
        return self.columns.dates

    def find(self, uid: int) -> int:
        """Return the row of a UID, or -1."""
        return self.columns.find(uid)

    def base_name(self, row: int) -> str:
        """Return the base name of a row."""
        return os.fsdecode(self.columns.base(row))

    def uidl(self, row: int, columns: Columns | None = None) -> str:
        """Return the POP3 unique id (RFC 1939 section 7): an imported one, or from the name.

        `row` counts in `columns` where they are given: those of a session's snapshot.
        """
        if columns is None:
            columns = self.columns
        uidls = (self.index or _NOTHING).uidls
        if uidls is not None:
            imported = uidls.get(columns.uids[row])
            if imported is not None:
                return imported.decode("ascii", "replace")
        base = columns.base(row)
        unique = base.partition(b",")[0]
        if 0 < len(unique) <= _MAX_UIDL and not unique.translate(None, _VISIBLE):
            return unique.decode("ascii")
        return hashlib.sha256(base).hexdigest()[:40]

    @property
    def first_recent(self) -> int:
        """The first UID that no session has had as \\Recent."""
        return max((self.index or _NOTHING).recent, self._claimed)

    @property
    def recent(self) -> int:
        """Number of messages that no session has had as \\Recent (STATUS)."""
        columns = self.columns
        return len(columns) - bisect_left(columns.uids, self.first_recent)

    def view(self, *, readonly: bool = False) -> View:
        """Return a new session's view of the present state. A read-only one claims no \\Recent."""
        return View(self, readonly=readonly)

    def claim_recent(self, behind: int, *, keep: bool) -> int:
        """Return the first unclaimed UID; with `keep`, all below `behind` are claimed now."""
        first = self.first_recent
        if keep and behind > first:
            self._claimed = behind
        return first

    def vanished_since(self, modseq: int) -> list[int] | None:
        """Return UIDs removed after that MODSEQ, ascending; None where that is forgotten."""
        index = self.index or _NOTHING
        if modseq < index.vanished_floor:
            return None
        if index.vanished is None:
            return []
        return sorted(u for u, m in zip(*index.vanished, strict=False) if m > modseq)

    # --- watching -------------------------------------------------------------------------------

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called on this event loop after any change in memory.

        While somebody watches, the folder refreshes itself when a hint says so. Returns the
        function that ends it. MailError where the folder is gone.
        """
        watchers = self._watchers
        if watchers is None:
            watchers = self._watchers = Watchers(self)
        return watchers.add(callback)

    def changed(self) -> None:
        """Tell the watchers of this process. Any thread."""
        watchers = self._watchers
        if watchers is not None:
            watchers.notify()

    # --- BLOCKING -------------------------------------------------------------------------------

    @property
    def identity(self) -> Identity | None:
        """Whom `acting` acts for (StorePool.run_as); None: the process itself."""
        return self.owner.identity

    def acting(self) -> acting:
        """Act as the mail's owner inside: one change of identity for many calls (identity.py)."""
        return self.owner.acting()

    def open_folder(self) -> int:
        """Open the folder's directory; the caller closes it. BLOCKING."""
        with self.acting():
            return open_folder(self.owner.maildir, self.name)

    @contextmanager
    def turn(self) -> Iterator[Transaction]:
        """Take a turn (transaction.py), then tell the watchers if it changed anything. BLOCKING."""
        with self.acting(), self._mutex:
            before = self._state()
            try:
                with transaction(self) as turn:
                    if self._claimed > turn.index.recent:
                        turn.emit(Kind.RECENT, pack_number(self._claimed))
                    if turn.fresh or self.unsaved:
                        reconcile(turn, force=True)
                    yield turn
                    turn.commit(sync=False)
            finally:
                changed = self._state() != before
        if changed:
            self.changed()

    def publish(self) -> None:
        """Tell other processes that this folder has changed. Any thread; never blocks."""
        self.owner.publish(self.name)

    def refresh(self, *, scan: bool = False) -> bool:
        """Follow other processes and take in new mail; `scan` lists the directories in any case.

        Returns whether anything changed in memory. BLOCKING.
        """
        if not scan:
            # Under the mutex, since closing the file could drop the lock of another thread's turn
            # where the file system knows no open-file-description locks.
            with self.acting(), self._mutex:
                if self._unmoved():
                    return False
        before = self._state()
        with self.turn() as turn:
            reconcile(turn, force=scan)
        return self._state() != before

    def store(
        self,
        uids: Sequence[int],
        mode: StoreMode,
        flags: Flag,
        keywords: Sequence[str] = (),
        *,
        unchanged_since: int | None = None,
    ) -> StoreResult:
        """Change flags and keywords (RFC 3501 section 6.4.6). BLOCKING.

        MailError: LIMIT where the folder has too many keywords, TEMPORARY.
        """
        with self.turn() as turn:
            result = change_flags.store(
                turn, uids, mode, flags, keywords, unchanged_since=unchanged_since
            )
        if result.changed:
            self.publish()
        return result

    def expunge(self, uids: Sequence[int] | None = None) -> list[int]:
        """Remove the messages with \\Deleted, of `uids` if given; returns their UIDs. BLOCKING."""
        with self.turn() as turn:
            removed = removal.expunge(turn, uids)
        if removed:
            self.publish()
        return removed

    def remove(self, uids: Sequence[int]) -> list[int]:
        """Remove messages whatever their flags (POP3's DELE); returns their UIDs. BLOCKING."""
        with self.turn() as turn:
            removed = removal.remove(turn, uids)
        if removed:
            self.publish()
        return removed

    def append(
        self,
        incoming: "Incoming",
        flags: Flag,
        keywords: Sequence[str] = (),
        date: int | None = None,
    ) -> int:
        """Store a message that a client sent (APPEND) and return its UID. BLOCKING.

        MailError: OVER_QUOTA, LIMIT (keywords), TEMPORARY.
        """
        uid = transfer.append(self, incoming, flags, keywords, date)
        self.publish()
        return uid

    def copy(self, uids: Sequence[int], target: "Mailbox") -> list[tuple[int, int]]:
        """Copy messages with flags, keywords and dates; returns (uid here, uid there). BLOCKING.

        Messages that are gone are left out. MailError: OVER_QUOTA, TEMPORARY: nothing was copied.
        """
        pairs = transfer.copy(self, uids, target)
        if pairs:
            target.publish()
        return pairs

    def move(self, uids: Sequence[int], target: "Mailbox") -> list[tuple[int, int]]:
        """Move messages; returns (uid here, uid there). BLOCKING.

        A crash may leave a message that was moved under its new UID alone, never without any.
        """
        pairs = transfer.move(self, uids, target)
        if pairs:
            target.publish()
            self.publish()
        return pairs

    def read(self, uid: int) -> bytes:
        """Return a message in wire form (CRLF). BLOCKING. MailError(GONE)."""
        for attempt in (1, 2):
            fd = self.open_message(uid)
            try:
                pieces = []
                while piece := os.read(fd, 1 << 20):
                    pieces.append(piece)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise as_mail_error(error) from error
                # Removed or renamed by another host: look once more (rule 15).
                if attempt == 1:
                    self.refresh(scan=True)
            else:
                return to_wire(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            finally:
                os.close(fd)
        raise _gone()

    def read_cached(self, uid: int) -> bytes | None:
        """Return a small message in wire form if that takes no waiting (nowait.py), else None."""
        try:
            stored = self.owner.read_cached(self.name, self.path_of(uid))
        except MailError:
            return None
        return None if stored is None else to_wire(stored)

    def open_message(self, uid: int) -> int:
        """Open a message's file for reading; the caller closes it. BLOCKING. MailError(GONE)."""
        with self.acting():
            return self._open_message(uid)

    def _open_message(self, uid: int) -> int:
        folder = self.open_folder()
        try:
            path = self.path_of(uid)
            fd = _open_file(folder, path)
            if fd < 0:
                # Renamed or removed by somebody: the journal knows it, or else the listing does.
                with self.turn() as turn:
                    fd = _open_file(folder, self.path_of(uid))
                    if fd < 0:
                        base = os.path.basename(path).partition(b":2,")[0]
                        found = turn.locate([base]).get(base)
                        fd = _open_file(folder, found) if found else -1
        except OSError as error:
            raise as_mail_error(error) from error
        finally:
            os.close(folder)
        if fd < 0:
            raise _gone()
        return fd

    def path_of(self, uid: int) -> bytes:
        """Return where we believe a message to be, relative to the folder. MailError(GONE)."""
        index = self.index or _NOTHING
        columns = index.columns
        row = columns.find(uid)
        if row < 0:
            raise _gone()
        return b"cur/" + index.filename(row, columns)

    def cached_facts(self, uids: Sequence[int]) -> list[Facts | None]:
        """Return the facts that are in memory, None for the rest. Never blocks."""
        columns = self.columns
        rows = [columns.find(uid) for uid in uids]
        bases = [os.fsdecode(columns.base(row)) if row >= 0 else "" for row in rows]
        found = self._facts_cache().peek_many(bases)
        if None not in found:  # else `facts` is asked next, and counts
            FACTS_HIT.inc(len(found))
        return found

    def facts(self, uids: Sequence[int]) -> list[Facts | None]:
        """Return facts, parsed where they are not cached; None for messages gone. BLOCKING."""
        with self.acting():
            return self._facts(uids)

    def _facts(self, uids: Sequence[int]) -> list[Facts | None]:
        columns = self.columns
        rows = [columns.find(uid) for uid in uids]
        bases = [os.fsdecode(columns.base(row)) if row >= 0 else "" for row in rows]
        cache = self._facts_cache()
        found = cache.get_many(bases)
        fresh: dict[str, Facts] = {}
        for at, facts in enumerate(found):
            if facts is None and bases[at]:
                try:
                    found[at] = fresh[bases[at]] = compute_facts(self.read(uids[at]))
                except MailError as error:
                    if error.kind is not ErrorKind.GONE:
                        raise
        FACTS_HIT.inc(len(found) - len(fresh))
        if fresh:
            FACTS_MISS.inc(len(fresh))
            cache.put_many(fresh)
            count = len(columns.uids)
            cache.compact(count, lambda: {os.fsdecode(columns.base(row)) for row in range(count)})
        return found

    # --- inside ---------------------------------------------------------------------------------

    def log_damage_if(self, damaged: bool, text: str) -> None:
        """Log once that the index was found damaged."""
        if damaged and not self._complained:
            self._complained = True
            _log.warning("%s of folder %r was damaged: %s", NAME, "/".join(self.name), text)

    def _facts_cache(self) -> Cache:
        if self._cache is None:
            self._cache = Cache(self.open_folder)
        return self._cache

    def _state(self) -> tuple[object, ...]:
        index = self.index
        if index is None:
            return ()
        columns = index.columns
        return index.uidvalidity, columns.change, len(columns.uids), index.keywords

    def is_unmoved(self, folder: int) -> bool:
        """Tell, where that takes no waiting, that `refresh` would find nothing; else False.

        `folder` is its directory, open. For the event loop's thread, on local file systems.
        """
        if not self._mutex.acquire(blocking=False):
            return False  # somebody is at work
        try:
            found = head_and_size(folder, NAME.encode(), HEADER_BYTES)
            return found is not None and self._is_as_known(
                *found, lambda name: cached_mtime(folder, name.encode())
            )
        finally:
            self._mutex.release()

    def _unmoved(self) -> bool:
        """Tell, without a lock, that journal and directories are as we know them."""
        folder = self.open_folder()
        try:
            fd = os.open(NAME, _READ, dir_fd=folder)
            try:
                head = os.pread(fd, HEADER_BYTES, 0)
                size = os.fstat(fd).st_size
            finally:
                os.close(fd)
            return self._is_as_known(head, size, lambda name: directory_mtime(folder, name))
        except OSError as error:
            if error.errno in GONE:  # the turn will tell why
                return False
            raise as_mail_error(error) from error
        finally:
            os.close(folder)

    def _is_as_known(self, head: bytes, size: int, mtime: Callable[[str], int]) -> bool:
        index = self.index
        if index is None or self.unsaved or self._claimed > index.recent:
            return False
        # Not the inode: its number may have been given to another file.
        header = Header.decode(head)
        if header is None or header.file_id != self.file_id or decode_mark(head):
            return False
        if size != self.tail or not index.new_settled or mtime("new") != index.new_mtime:
            return False
        cur_mtime = mtime("cur")
        return cur_mtime == index.cur_mtime and (
            index.cur_settled or not settling_is_due(cur_mtime, time.time_ns(), len(index.columns))
        )


def _open_file(folder: int, path: bytes) -> int:
    """Open a message; -1 where the name leads to nothing."""
    try:
        return os.open(path, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno in GONE:
            return -1
        raise


def _gone() -> MailError:
    return MailError(ErrorKind.GONE, "the message is gone")
