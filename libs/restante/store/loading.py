"""Reading the journal into memory: its tail, all of it, or what damage has left of it."""

import time
from enum import Enum
from typing import TYPE_CHECKING

from restante.model import MailError
from restante.store import metrics, records
from restante.store.accountfile import next_uidvalidity
from restante.store.faults import FULL
from restante.store.index import Index, Replay
from restante.store.journal import Journal
from restante.store.records import HEADER_BYTES, MARK_AT, SLOT, Kind

if TYPE_CHECKING:
    from restante.store.mailbox import Mailbox


class Origin(Enum):
    """Where an index came from."""

    KEPT = "kept"  # the mailbox's own, followed to the end of the journal
    LOADED = "loaded"  # read anew
    FRESH = "fresh"  # there is none on disk yet
    UNKNOWN_FOLDER = "unknown folder"  # fresh, and other servers may have left one


def catch_up(mailbox: "Mailbox", journal: Journal) -> tuple[Index, Origin]:
    """Return the state of the folder whose journal is locked. BLOCKING; OSError, MailError."""
    index = mailbox.index
    header = journal.header
    if (
        index is not None
        and header is not None
        and not mailbox.unsaved
        and header.file_id == mailbox.file_id
        and journal.size >= mailbox.tail
    ):
        if journal.size > mailbox.tail:
            _read_tail(mailbox, journal, index)
        journal.end = mailbox.tail
        return index, Origin.KEPT
    started = time.perf_counter()
    loaded, origin = _load(mailbox, journal)
    metrics.INDEX_LOADS.labels(origin.value).inc()
    metrics.INDEX_LOAD_SECONDS.observe(time.perf_counter() - started)
    return loaded, origin


def rewrite(mailbox: "Mailbox", journal: Journal, index: Index) -> None:
    """Put a new file with a snapshot of the index in place of the journal. OSError: it stays."""
    journal.replace(index.uidvalidity, index.snapshot())
    metrics.INDEX_REWRITES.inc()
    mailbox.tail = journal.end
    mailbox.log_records = 0
    mailbox.file_id = journal.header.file_id if journal.header else 0


def _read_tail(mailbox: "Mailbox", journal: Journal, index: Index) -> None:
    """Follow what others appended since."""
    start = mailbox.tail
    data = journal.read(start)
    replay = Replay(index)
    end = 0
    for record in records.records(data, 0):
        replay.apply(record)
        end = record.end
    if replay.added:
        journal.sync()  # the writer may have been killed before its own
    mailbox.tail = start + end
    mailbox.log_records += replay.count
    replay.finish()
    if end < len(data):
        _salvage(mailbox, journal, index, data, end=end, start=start)


def _load(mailbox: "Mailbox", journal: Journal) -> tuple[Index, Origin]:
    """Read the whole file; make ready for a new one where it holds nothing of ours."""
    old = mailbox.index
    data = journal.read(0)
    header = journal.header
    if header is None and _is_interrupted(data):
        data = memoryview(b"")
    first = records.record_at(data, HEADER_BYTES) if header else None
    if first is None:
        first = next(records.salvaged(data, HEADER_BYTES), None)
    if first is None:
        # An empty file is a folder that we never saw; any other one has lost its UIDs, and
        # then what other servers left behind is older than what clients know.
        if old is not None and mailbox.unsaved:
            return old, Origin.FRESH  # there was no room for it, and nobody else had any since
        metrics.SALVAGE_LOST.inc(len(data) > 0)
        mailbox.log_damage_if(len(data) > 0, "nothing could be saved; new UIDVALIDITY")
        origin = Origin.FRESH if data else Origin.UNKNOWN_FOLDER
        return Index(_new_uidvalidity(mailbox)), origin
    index = Index(header.uidvalidity if header else first.uidvalidity)
    replay = Replay(index)
    end = HEADER_BYTES
    for record in records.records(data, HEADER_BYTES):
        replay.apply(record)
        end = record.end
    replay.finish()
    mailbox.tail = end
    mailbox.log_records = max(0, replay.count - 4 - len(index.columns) // 4096)
    if header is None or end < len(data):
        _salvage(mailbox, journal, index, data, end=end, start=0)
    if old is not None and old.uidvalidity == index.uidvalidity:
        # After a restore of an older file: what this process gave out stays given out.
        index.uidnext = max(index.uidnext, old.uidnext)
        index.highest_modseq = max(index.highest_modseq, old.highest_modseq)
        index.recent = max(index.recent, old.recent)
    if replay.added:
        journal.sync()
    journal.end = mailbox.tail
    mailbox.file_id = journal.header.file_id if journal.header else 0
    return index, Origin.LOADED


def _is_interrupted(data: memoryview) -> bool:
    """Tell whether this is a first opening that died: no header yet, no end of the snapshot.

    Nothing of it was announced, and what other servers left behind must be imported again.
    """
    return not any(data[:MARK_AT]) and all(
        record.kind != Kind.NEXT for record in records.salvaged(data, HEADER_BYTES)
    )


def _salvage(
    mailbox: "Mailbox", journal: Journal, index: Index, data: memoryview, *, end: int, start: int
) -> None:
    """Take every valid record behind a bad one, and write the file without the bad part.

    A slot of the bad part can have given out one UID at most, so that UIDNEXT plus the number
    of slots is above every UID that was ever given out.
    """
    replay = Replay(index)
    for record in records.salvaged(data, end):
        replay.apply(record)
    replay.finish()
    torn_only = not replay.count and journal.header is not None
    index.uidnext += (len(data) - end) // SLOT + 1
    index.highest_modseq += 1
    # A header of zeros is a first opening that did not come to its end.
    damaged = replay.count > 0 or (journal.header is None and any(data[:SLOT]))
    (metrics.SALVAGE_DAMAGED if damaged else metrics.SALVAGE_TORN).inc()
    mailbox.log_damage_if(damaged, f"salvaged {replay.count} records")
    try:
        if torn_only:
            journal.cut(start + end)
            journal.append(index.record(Kind.NEXT, b""))
            mailbox.tail = journal.end
        else:
            # Files may have lost their UIDs: look at all of them.
            index.cur_mtime = index.new_mtime = -1
            rewrite(mailbox, journal, index)
    except OSError as error:
        if error.errno not in FULL:
            raise
        mailbox.unsaved = True


def _new_uidvalidity(mailbox: "Mailbox") -> int:
    try:
        return next_uidvalidity(mailbox.owner.maildir)
    except MailError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL:
            # The index will not be written either. The clock exceeds what it gave before.
            return int(time.time())
        raise
