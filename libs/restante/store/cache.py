"""The facts of a folder's messages in one droppable file, keyed by base name.

File: `restante.cache` in the folder, a 32-byte head (magic, version, generation, checksum), then
blocks, each with a checksum over its own head, a table of offsets, the names and the records
(store.facts). A base name's facts never change, so an entry is right or missing, never stale, and
two entries of one name are equal.

Invariants and races:
- Appended and rewritten only under the lock of the file itself, which is taken without waiting:
  when another holder is busy, the facts stay in memory and are written with a later batch.
- Read without the lock. A reader stops at the first block that is not whole and right: it may be
  one that is just being written. Only a holder of the lock may judge it damaged; it cuts the file
  there. Cutting and compacting write a new generation first, and a reader who meets another
  generation, or a file shorter than it has read, starts afresh.
- Compaction rewrites in place, so that lock, name and data stay one file (a replaced file would
  need names to be looked up again, which network clients cache).
- No fsync: what a crash tears, the checksum finds, and the facts are computed anew.

Memory: what was read stays for the sessions of the process, up to MEMORY_LIMIT bytes over all
folders; the least recently used folder goes first. A folder that is not in memory is not read for
a few messages, when parsing those is cheaper: their facts wait in memory for a later batch.
"""

import array
import logging
import os
import stat
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Final

from restante.model import ErrorKind, MailError
from restante.store.facts import Facts
from restante.store.lock import locked
from restante.store.metrics import CACHE_BYTES, CACHE_DAMAGED

FILE_NAME: Final = "restante.cache"
MEMORY_LIMIT: Final = 64 << 20  # bytes a process keeps over all folders, but for the newest one

_log = logging.getLogger(__name__)

_MAGIC: Final = b"Rstcache"
_VERSION: Final = 2
_HEAD: Final = struct.Struct("<8sHHQ8xI")  # magic, version, 0, generation, crc32 of what precedes
_BLOCK: Final = struct.Struct("<4sIIII")  # magic, bytes that follow, entries, bytes of names, crc32
_BLOCK_MAGIC: Final = b"Rblk"
_BLOCK_LIMIT: Final = 64 << 20  # bytes of a block that is written; larger batches make several
_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

# Reading and checking this many bytes of the file costs about as much as parsing one message.
_PARSE_WORTH: Final = 100_000
_PENDING_LIMIT: Final = 64
_OVERHEAD: Final = 300  # bytes of memory for one entry beside its record
_MANY_BLOCKS: Final = 256


class _Resident:
    """Which caches hold memory, least recently used first. Guarded by its own lock, taken last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.limit = MEMORY_LIMIT
        self.sizes: OrderedDict[Cache, int] = OrderedDict()
        self.total = 0
        CACHE_BYTES.follow(self, lambda resident: resident.total)

    def set(self, cache: "Cache", size: int) -> None:
        """Note a cache's size as the newest; make the oldest let go until all fit."""
        victims = []
        with self.lock:
            self.total += size - self.sizes.pop(cache, 0)
            if size:
                self.sizes[cache] = size
            while self.total > self.limit and len(self.sizes) > 1:
                victim, freed = self.sizes.popitem(last=False)
                self.total -= freed
                victims.append(victim)
        for victim in victims:
            victim.release_memory()

    def touch(self, cache: "Cache") -> None:
        with self.lock:
            if cache in self.sizes:
                self.sizes.move_to_end(cache)


_resident = _Resident()


def set_memory_limit(limit: int) -> None:
    """Change MEMORY_LIMIT for this process."""
    _resident.limit = limit


def _after_fork() -> None:
    global _resident
    limit = _resident.limit
    _resident = _Resident()
    _resident.limit = limit


os.register_at_fork(after_in_child=_after_fork)


class Cache:
    """The cache of one folder, shared by all sessions of the process. Thread-safe.

    `open_folder` returns a new descriptor of the folder's directory, which is closed here;
    `label` names the folder in the log.
    """

    __slots__ = (
        "__weakref__",
        "_blocks",
        "_end",
        "_generation",
        "_index",
        "_label",
        "_lock",
        "_open_folder",
        "_pending",
        "_records",
        "_size",
        "_warned",
    )

    def __init__(self, open_folder: Callable[[], int], label: str = "") -> None:
        self._label = label
        self._open_folder = open_folder
        self._lock = threading.Lock()
        self._warned = False
        self._reset()

    def _reset(self) -> None:
        # The dictionary is replaced, never cleared: `peek_many` reads it without the lock.
        self._index: dict[str, Facts] = {}
        self._pending: dict[str, Facts] = {}
        self._generation = 0  # of the file as read; 0: not read
        self._end = 0  # how far the file was read
        self._blocks = self._records = 0  # in the file, doubles included
        self._size = 0  # bytes of memory, about

    # --- the four calls of a mailbox ------------------------------------------------------------

    def peek_many(self, bases: Iterable[str]) -> list[Facts | None]:
        """Return what is in memory, None for the rest. Never blocks."""
        return list(map(self._index.get, bases))

    def get_many(self, bases: Sequence[str]) -> list[Facts | None]:
        """Return what memory or file have, None for the rest. BLOCKING. Never raises OSError."""
        found = self.peek_many(bases)
        missing = found.count(None)
        if not missing:
            _resident.touch(self)
            return found
        with self._lock:
            self._with_file(lambda fd: self._read_if_worth(fd, missing), create=False)
            found = list(map(self._index.get, bases))
        self._account()
        return found

    def put_many(self, facts: Mapping[str, Facts]) -> None:
        """Keep new facts, in memory at once and in the file if it pays now. BLOCKING.

        A fault of the disk or a busy lock is no error: facts can be computed again.
        """
        if not facts:
            return
        with self._lock:
            for base, value in facts.items():
                if base not in self._index:
                    self._index[base] = self._pending[base] = value
                    self._size += value.packed_size() + _OVERHEAD
            if self._pending:
                self._with_file(self._flush_if_worth, create=True)
        self._account()

    def compact(self, count: int, live: Callable[[], Collection[str]]) -> bool:
        """Rewrite the file without its dead entries, if it is wasteful. BLOCKING.

        `count` is how many messages the folder has; `live` makes the set of their base names and
        is called only if needed. Returns whether it rewrote; cheap where there is nothing to do
        or the folder is not in memory.
        """
        with self._lock:
            if not self._generation or self._records <= 2 * count + 1000:
                return False
            names = live()
            done = self._with_file(
                lambda fd: self._locked(fd, lambda: self._rewrite(fd, names)), create=False
            )
        self._account()
        return done

    def release_memory(self) -> None:
        """Forget what is in memory; what was not written is lost, and computed again."""
        with self._lock:
            self._reset()
        _resident.set(self, 0)

    # --- the file; self._lock is held -----------------------------------------------------------

    def _account(self) -> None:
        _resident.set(self, self._size)

    def _with_file(self, act: Callable[[int], bool], *, create: bool) -> bool:
        """Open the file, act on it, close it. Returns act's result, False after a fault."""
        try:
            folder = self._open_folder()
        except (OSError, MailError):
            return False  # the folder went away: its sessions will hear so elsewhere
        try:
            flags = os.O_RDWR | _FLAGS | (os.O_CREAT if create else 0)
            try:
                fd = os.open(FILE_NAME, flags, 0o600, dir_fd=folder)
            except FileNotFoundError:
                return False
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise OSError("not a regular file")
                return act(fd)
            finally:
                os.close(fd)
        except OSError as error:
            self._warn(f"cannot be used: {error.strerror or error}")
            return False
        finally:
            os.close(folder)

    def _locked(self, fd: int, act: Callable[[], None]) -> bool:
        """Act under the file's lock, taken without waiting. False where another holds it."""
        try:
            with locked(fd, timeout=0):
                act()
        except MailError as error:
            if error.kind is not ErrorKind.TEMPORARY:
                raise
            return False
        return True

    def _read_if_worth(self, fd: int, missing: int) -> bool:
        if not self._generation and missing * _PARSE_WORTH < os.fstat(fd).st_size:
            return False
        return self._read(fd)

    def _flush_if_worth(self, fd: int) -> bool:
        waiting = len(self._pending)
        if (
            not self._generation
            and waiting <= _PENDING_LIMIT
            and waiting * _PARSE_WORTH < os.fstat(fd).st_size
        ):
            return False
        return self._locked(fd, lambda: self._flush(fd))

    def _flush(self, fd: int) -> None:
        """Write what is pending. The file's lock is held."""
        if not self._read(fd):
            self._start_file(
                fd, "head is damaged or of another version" if os.fstat(fd).st_size else ""
            )
        elif os.fstat(fd).st_size > self._end:
            # Behind the last good block lies something else, and nobody else is writing.
            self._warn("damaged block cut off")
            self._write_head(fd)
            os.ftruncate(fd, self._end)
        if self._pending:
            self._append(fd, self._pending)
            self._pending = {}
        if self._blocks >= _MANY_BLOCKS and self._records < self._blocks * 16:
            self._rewrite(fd, None)

    def _rewrite(self, fd: int, live: Collection[str] | None) -> None:
        """Write the file anew with the entries of `live` (None: all). The file's lock is held."""
        if not self._read(fd):
            return
        index = self._index
        self._index = index if live is None else {b: f for b, f in index.items() if b in live}
        self._start_file(fd, "")
        self._append(fd, self._index)
        self._pending = {}

    def _start_file(self, fd: int, complaint: str) -> None:
        if complaint:
            self._warn(complaint)
        os.ftruncate(fd, 0)
        self._write_head(fd)
        self._end = _HEAD.size
        self._blocks = self._records = 0

    def _write_head(self, fd: int) -> None:
        self._generation = int.from_bytes(os.urandom(8), "little") | 1
        head = _HEAD.pack(_MAGIC, _VERSION, 0, self._generation, 0)
        _write(fd, head[:-4] + struct.pack("<I", zlib.crc32(head[:-4])), 0)

    def _read(self, fd: int) -> bool:
        """Read what the file has beyond what is known. False where its head is no good."""
        head = os.pread(fd, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            return False
        magic, version, _, generation, crc = _HEAD.unpack(head)
        if magic != _MAGIC or version != _VERSION or crc != zlib.crc32(head[:-4]):
            return False
        size = os.fstat(fd).st_size
        if generation != self._generation or size < self._end:
            pending = self._pending
            self._reset()
            self._pending, self._index = pending, dict(pending)
            self._size = sum(f.packed_size() + _OVERHEAD for f in pending.values())
            self._generation, self._end = generation, _HEAD.size
        if size > self._end:
            self._take(_read(fd, size - self._end, self._end))
        return True

    def _take(self, data: bytes) -> None:
        """Add the whole blocks at the start of `data`, which was read at self._end."""
        at = 0
        while at + _BLOCK.size <= len(data):
            magic, size, count, names_size, crc = _BLOCK.unpack_from(data, at)
            start = at + _BLOCK.size
            table = start + count * 4
            records = table + names_size
            end = start + size
            if magic != _BLOCK_MAGIC or records > end or end > len(data):
                break
            if _checksum(data[at : start - 4], memoryview(data)[start:end]) != crc:
                break
            names = os.fsdecode(data[table:records]).split("\0")
            offsets = array.array("I", data[start:table])
            self._index.update(
                zip(names, map(Facts, repeat(data), map(records.__add__, offsets)), strict=True)
            )
            self._records += count
            self._blocks += 1
            self._size += size + count * _OVERHEAD
            at = end
        self._end += at
        for base in [b for b in self._pending if self._index[b] is not self._pending[b]]:
            del self._pending[base]  # another process has written it

    def _append(self, fd: int, entries: Mapping[str, Facts]) -> None:
        """Append blocks at self._end. The file's lock is held."""
        names: list[bytes] = []
        records: list[bytes] = []
        offsets = array.array("I")
        size = 0
        for base, facts in entries.items():
            record = facts.pack()
            offsets.append(size)
            names.append(os.fsencode(base))
            records.append(record)
            size += len(record)
            if size >= _BLOCK_LIMIT:
                self._append_block(fd, offsets, names, records)
                names, records, offsets, size = [], [], array.array("I"), 0
        if names:
            self._append_block(fd, offsets, names, records)

    def _append_block(
        self, fd: int, offsets: "array.array[int]", names: list[bytes], records: list[bytes]
    ) -> None:
        table = b"\0".join(names)
        payload = b"".join((offsets.tobytes(), table, *records))
        head = _BLOCK.pack(_BLOCK_MAGIC, len(payload), len(names), len(table), 0)[:-4]
        crc = _checksum(head, payload).to_bytes(4, "little")
        _write(fd, head + crc + payload, self._end)
        self._end += _BLOCK.size + len(payload)
        self._blocks += 1
        self._records += len(names)

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            CACHE_DAMAGED.inc()
            _log.warning("%s of %r: %s; facts are computed anew", FILE_NAME, self._label, text)


def _read(fd: int, size: int, at: int) -> bytes:
    pieces = []
    while size > 0:
        piece = os.pread(fd, size, at)
        if not piece:
            break
        pieces.append(piece)
        at += len(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view = view[done:]
        at += done


def _checksum(head: bytes, payload: bytes | memoryview) -> int:
    """Return the checksum of a block: of its head before the checksum, and of what follows."""
    return zlib.crc32(payload, zlib.crc32(head))
