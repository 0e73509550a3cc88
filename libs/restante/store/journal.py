"""The file `restante.index`: opened, locked, appended to, replaced.

Who may write. Only the holder of the lock on the file itself. On a network volume the lock also
renews the holder's view of the file's *data*, and appends of two hosts without it would overwrite
each other.

Replacing. The lock does not renew the cache of *names*, so a host may lock a file that no longer
has the name. Therefore whoever replaces the file first writes a mark into the old one: "replaced
by generation g". Whoever finds a mark after locking lists the directory, which the network client
does not answer from its name cache. If the name leads to another file, it is opened again. If not,
the replacing process died between mark and rename, and the mark is removed. A replaced file may as
well answer ESTALE, once its server has forgotten it: then it is opened again.

The new file is locked before it gets its name, so that nobody can write to it before the replacing
process is done.

Order of replacing: write and sync the new file, lock it, mark and sync the old one, rename, sync
the directory. A crash anywhere leaves one whole file under the name.

Torn tails. A killed or power-cut writer may leave a part of a record. Its UIDs were not announced,
for that follows the sync. Readers stop at the first bad record; the next lock holder salvages what
is valid behind it, if anything, and writes the file anew (see `loading.py`).
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Final

from restante.model import ErrorKind, MailError
from restante.store.lock import locked
from restante.store.metrics import FSYNC_INDEX
from restante.store.records import (
    HEADER_BYTES,
    MARK_AT,
    MARK_BYTES,
    Header,
    decode_mark,
    encode_mark,
)

NAME: Final = "restante.index"
_FRESH: Final = ".restante.index.new"
_ATTEMPTS: Final = 20


class Journal:
    """The open and locked file. Made by `open_journal`, dead after its with statement."""

    __slots__ = ("_folder", "_stack", "end", "fd", "header", "size")

    def __init__(self, folder: int, fd: int, head: bytes, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.fd = fd
        self.header = Header.decode(head)
        self.size = os.fstat(fd).st_size
        self.end = self.size  # where appending goes on; the reader says how far records are valid

    def read(self, start: int) -> memoryview:
        """Return the bytes from `start` to the end of the file."""
        pieces = []
        at = start
        while at < self.size:
            piece = os.pread(self.fd, self.size - at, at)
            if not piece:
                break
            pieces.append(piece)
            at += len(piece)
        return memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def append(self, data: bytes, *, sync: bool = True) -> None:
        """Write records at `end`, durable when `sync`. OSError: nothing was appended."""
        try:
            _write(self.fd, data, self.end)
            if sync:
                started = perf_counter()
                os.fdatasync(self.fd)
                FSYNC_INDEX.observe(perf_counter() - started)
        except OSError:
            # What was written has not been announced; the next reader would drop a torn rest.
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, self.end)
            raise
        self.end += len(data)
        self.size = max(self.size, self.end)

    def sync(self) -> None:
        """Make durable what another process may have left unsynced when it was killed."""
        os.fdatasync(self.fd)

    def cut(self, end: int) -> None:
        """Drop everything from `end` on."""
        os.ftruncate(self.fd, end)
        self.size = self.end = end

    def clock(self) -> int:
        """Return the time of the volume's own clock, in ns, as its directories' mtimes show it."""
        os.utime(self.fd)
        return os.fstat(self.fd).st_mtime_ns

    def begin(self, uidvalidity: int, pieces: Iterable[bytes]) -> None:
        """Fill a file that held nothing of worth. The header comes last: without it all is new."""
        os.ftruncate(self.fd, 0)
        end = self._write_all(self.fd, pieces)
        os.fdatasync(self.fd)
        self.header = Header(uidvalidity, 1, secrets.randbits(63))
        _write(self.fd, self.header.encode(), 0)
        os.fdatasync(self.fd)
        os.fsync(self._folder)
        self.size = self.end = end

    def replace(self, uidvalidity: int, pieces: Iterable[bytes]) -> None:
        """Put a new file in place of this one and go on with it. OSError: the old one stays."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_FRESH, dir_fd=self._folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(_FRESH, flags, 0o600, dir_fd=self._folder)
        self._stack.callback(os.close, fd)
        generation = self.header.generation + 1 if self.header else 1
        header = Header(uidvalidity, generation, secrets.randbits(63))
        try:
            end = self._write_all(fd, pieces)
            _write(fd, header.encode(), 0)
            os.fsync(fd)
            self._stack.enter_context(locked(fd))
            _write(self.fd, encode_mark(generation), MARK_AT)
            os.fdatasync(self.fd)
            os.rename(_FRESH, NAME, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                _write(self.fd, bytes(MARK_BYTES), MARK_AT)
            with contextlib.suppress(OSError):
                os.unlink(_FRESH, dir_fd=self._folder)
            raise
        os.fsync(self._folder)
        self.fd = fd
        self.header = header
        self.size = self.end = end

    def _write_all(self, fd: int, pieces: Iterable[bytes]) -> int:
        at = HEADER_BYTES
        for piece in pieces:
            _write(fd, piece, at)
            at += len(piece)
        return at


@contextmanager
def open_journal(folder: int) -> Iterator[Journal]:
    """Open and lock the journal of the folder directory open as `folder`. BLOCKING.

    A missing file is made, empty. Raises OSError, and MailError(TEMPORARY) where the lock is not
    to be had.
    """
    for _ in range(_ATTEMPTS):
        with ExitStack() as stack:
            journal = _open(folder, stack)
            if journal is None:
                continue
            yield journal
            return
    raise MailError(ErrorKind.TEMPORARY, "the index is being replaced, try again")


def _open(folder: int, stack: ExitStack) -> Journal | None:
    """Open and lock what has the name; None where that was replaced meanwhile."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(NAME, flags, 0o600, dir_fd=folder)
        stack.callback(os.close, fd)
        stack.enter_context(locked(fd))
        head = os.pread(fd, HEADER_BYTES, 0)
        if decode_mark(head) or unlinked(fd):
            if not _has_name(folder, fd):
                return None
            _write(fd, bytes(MARK_BYTES), MARK_AT)
            os.fdatasync(fd)
            head = os.pread(fd, HEADER_BYTES, 0)
        return Journal(folder, fd, head, stack)
    except (OSError, MailError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError) or cause.errno != errno.ESTALE:
            raise
        # Replaced by another host, and no name is left to our file: the listing renews the names.
        os.listdir(folder)
        return None


def unlinked(fd: int) -> bool:
    """Tell whether an open file has no name any more: replaced by something that knows no marks."""
    return os.fstat(fd).st_nlink == 0


def _has_name(folder: int, fd: int) -> bool:
    """Tell by listing whether the name leads to this open file."""
    inode = os.fstat(fd).st_ino
    with os.scandir(folder) as entries:
        return any(entry.name == NAME and entry.inode() == inode for entry in entries)


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        at += written
        view = view[written:]
