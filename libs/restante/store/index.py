"""The state of one folder that `restante.index` describes, and how records change it.

Every change, our own or another process's, takes the same way: a record, then `Replay.apply`. So
memory can never say other things than the file.
"""

from array import array
from collections.abc import Iterator
from typing import Final

from restante.model.flag import LETTERS_OF
from restante.store import records
from restante.store.changes import Change
from restante.store.columns import Columns
from restante.store.records import Kind, Record

MAX_KEYWORDS: Final = 64
LETTERS: Final = tuple(letters.encode() for letters in LETTERS_OF)
"""Flag letters as in a file name, indexed by the mask."""

_TAILS: Final = tuple(b":2," + letters for letters in LETTERS)
_ROWS_PER_BLOCK: Final = 4096
_MAX_VANISHED: Final = 20_000


class Index:
    """UIDs, flags and marks of a folder. Not thread-safe; Mailbox says who may do what."""

    __slots__ = (
        "columns",
        "cur_mtime",
        "cur_settled",
        "filenames",
        "highest_modseq",
        "keywords",
        "new_mtime",
        "new_settled",
        "recent",
        "uidls",
        "uidnext",
        "uidvalidity",
        "vanished",
        "vanished_floor",
    )

    def __init__(self, uidvalidity: int, uidnext: int = 1) -> None:
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.highest_modseq = 1
        self.recent = 1  # the first UID that no session has had as \Recent
        self.keywords: tuple[str, ...] = ()
        self.columns = Columns(Change(1))
        self.new_mtime = self.cur_mtime = -1
        self.new_settled = self.cur_settled = False
        # UIDLs and file names that do not follow from the rest; most folders have none.
        self.uidls: dict[int, bytes] | None = None
        self.filenames: dict[int, bytes] | None = None
        self.vanished: tuple[array[int], array[int]] | None = None  # UIDs, MODSEQs
        self.vanished_floor = 1

    def record(self, kind: Kind, payload: bytes) -> bytes:
        """Return a record that carries this state's numbers."""
        return records.encode(kind, payload, self.uidvalidity, self.uidnext, self.highest_modseq)

    def snapshot(self) -> Iterator[bytes]:
        """Yield records from which this state can be read again."""
        columns = self.columns
        if self.keywords:
            words = [(bit, word.encode()) for bit, word in enumerate(self.keywords)]
            yield self.record(Kind.KEYWORD, records.pack_texts(words))
        offset = 0
        for first in range(0, len(columns), _ROWS_PER_BLOCK):
            last = min(first + _ROWS_PER_BLOCK, len(columns))
            pieces = columns.pack(first, last, offset)
            offset += len(pieces[-1])
            yield self.record(Kind.ROWS, b"".join(((last - first).to_bytes(4, "little"), *pieces)))
        for kind, texts in ((Kind.UIDL, self.uidls), (Kind.FILENAME, self.filenames)):
            if texts:
                yield self.record(kind, records.pack_texts(texts.items()))
        if self.vanished is not None or self.vanished_floor > 1:
            uids, modseqs = self.vanished or (array("I"), array("Q"))
            yield self.record(
                Kind.VANISHED, records.pack_vanished(self.vanished_floor, uids, modseqs)
            )
        yield self.record(Kind.RECENT, records.pack_number(self.recent))
        yield self.record(Kind.DIRECTORIES, self.directories())
        yield self.record(Kind.NEXT, b"")

    def directories(self) -> bytes:
        """Return the payload of DIRECTORIES for this state."""
        return records.pack_directories(
            self.new_mtime, self.cur_mtime, self.new_settled, self.cur_settled
        )

    def all_filenames(self) -> list[bytes]:
        """Return the file name of every row, in order."""
        columns = self.columns
        names = [
            base + _TAILS[flags] for base, flags in zip(columns.bases(), columns.flags, strict=True)
        ]
        for uid, name in (self.filenames or {}).items():
            row = columns.find(uid)
            if row >= 0:
                names[row] = name
        return names

    def filename(self, row: int, columns: Columns) -> bytes:
        """Return the file name of a row as far as we know."""
        if self.filenames is not None:
            name = self.filenames.get(columns.uids[row])
            if name is not None:
                return name
        return columns.base(row) + _TAILS[columns.flags[row]]


class Replay:
    """Applies records to an Index; `finish` publishes what they removed and changed.

    Removals are gathered, since each one alone would copy the columns.
    """

    __slots__ = ("added", "changed", "count", "index", "removed")

    def __init__(self, index: Index) -> None:
        self.index = index
        self.changed: set[int] = set()
        self.removed: set[int] = set()
        self.added = 0
        self.count = 0

    def apply(self, record: Record) -> None:
        """Apply one record. A record that contradicts the state changes nothing but the marks."""
        index = self.index
        self.count += 1
        index.uidnext = max(index.uidnext, record.uidnext)
        index.highest_modseq = max(index.highest_modseq, record.modseq)
        kind, payload = record.kind, record.payload
        if kind == Kind.ADD:
            self._add(record)
        elif kind == Kind.FLAGS:
            self._flags(record)
        elif kind == Kind.EXPUNGE:
            self._expunge(record)
        elif kind == Kind.DIRECTORIES:
            marks = records.unpack_directories(payload)
            if marks is not None:
                index.new_mtime, index.cur_mtime, index.new_settled, index.cur_settled = marks
        elif kind == Kind.ROWS:
            self._rows(payload)
        elif kind == Kind.RECENT:
            index.recent = max(index.recent, records.unpack_number(payload) or 0)
        elif kind == Kind.KEYWORD:
            for bit, word in records.unpack_texts(payload):
                if bit == len(index.keywords) < MAX_KEYWORDS:
                    index.keywords += (word.decode("utf-8", "replace"),)
        elif kind == Kind.UIDL:
            index.uidls = {**(index.uidls or {}), **dict(records.unpack_texts(payload))}
        elif kind == Kind.FILENAME:
            self._filenames(payload)
        elif kind == Kind.VANISHED:
            vanished = records.unpack_vanished(payload)
            if vanished is not None:
                index.vanished_floor, *columns = vanished
                index.vanished = (columns[0], columns[1])

    def _rows(self, payload: memoryview) -> None:
        columns = self.index.columns
        before = len(columns)
        if len(payload) < 4:
            return
        count = int.from_bytes(payload[:4], "little")
        if columns.extend(count, payload[4:]):
            self.added += len(columns) - before
            self.index.uidnext = max(self.index.uidnext, columns.uids[-1] + 1)

    def _add(self, record: Record) -> None:
        columns = self.index.columns
        added = records.unpack_add(record.payload)
        if added is None or (columns.uids and added.uid <= columns.uids[-1]):
            return
        self.index.uidnext = max(self.index.uidnext, added.uid + 1)
        columns.append(
            added.uid,
            added.flags & 63,
            added.keyword_bits,
            record.modseq,
            added.wire_size,
            added.date,
            added.base,
        )
        self.added += 1

    def _flags(self, record: Record) -> None:
        columns = self.index.columns
        rows = records.unpack_flags(record.payload)
        for uid, flags, bits in rows or ():
            row = columns.find(uid)
            if row >= 0:
                columns.flags[row] = flags & 63
                columns.keyword_bits[row] = bits
                columns.modseqs[row] = record.modseq
                self.changed.add(uid)

    def _expunge(self, record: Record) -> None:
        uids = records.unpack_numbers("I", record.payload)
        index = self.index
        gone = [u for u in uids if u not in self.removed and index.columns.find(u) >= 0]
        self.removed.update(gone)
        if index.vanished is None:
            index.vanished = (array("I"), array("Q"))
        index.vanished[0].extend(gone)
        index.vanished[1].extend([record.modseq] * len(gone))

    def _filenames(self, payload: memoryview) -> None:
        names = dict(self.index.filenames or {})
        for uid, name in records.unpack_texts(payload):
            if name:
                names[uid] = name
            else:
                names.pop(uid, None)
        self.index.filenames = names or None

    def finish(self) -> Change | None:
        """Make the changes visible; None where sessions have nothing to tell but new messages."""
        index = self.index
        columns = index.columns
        removed = sorted(self.removed)
        changed = sorted(self.changed - self.removed)
        if not removed and not changed:
            return None
        change = Change(index.highest_modseq, changed, removed)
        columns.change.next = change
        if not removed:
            columns.change = change
            return change
        for texts in (index.uidls, index.filenames):
            if texts:
                for uid in removed:
                    texts.pop(uid, None)
        rows = [row for uid in removed if (row := columns.find(uid)) >= 0]
        index.columns = columns.without(rows, change)
        if index.vanished is not None and len(index.vanished[0]) > 2 * _MAX_VANISHED:
            uids, modseqs = index.vanished
            index.vanished_floor = modseqs[-_MAX_VANISHED - 1]
            index.vanished = (uids[-_MAX_VANISHED:], modseqs[-_MAX_VANISHED:])
        return change
