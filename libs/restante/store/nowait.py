"""Reading a file without waiting: from what the kernel holds in memory, or not at all.

For the event loop's thread, where a trip through the pool costs more than reading a small message
that lies in the page cache. openat2 with RESOLVE_CACHED opens only what the directory cache
answers, preadv with RWF_NOWAIT reads only cached pages; anything else gives None, and the caller
takes the way through the pool. Only on file systems of this machine: a network file system may
ask its server at open or close whatever the flags say.

Like every open of the store, it follows no symbolic link below the volume's root.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

LIMIT: Final = 64 << 10  # bytes; copying more would hold up the other sessions

_LOCAL: Final = frozenset(("ext4", "ext3", "ext2", "xfs", "btrfs", "tmpfs", "f2fs", "zfs"))
_OPENAT2: Final = 437  # the same on every architecture
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE_CACHED: Final = 0x20


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_RESOLVE: Final = _RESOLVE_CACHED | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
_FILE: Final = _How(os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0, _RESOLVE)
_DIRECTORY: Final = _How(os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _RESOLVE)
_SIZE: Final = ctypes.sizeof(_How)
# PyDLL keeps the interpreter's lock: the call cannot wait, and giving the lock away could.
_syscall: Final = ctypes.PyDLL(None).syscall
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
)
_syscall.restype = ctypes.c_long


def open_file(directory: int, path: bytes) -> int:
    """Open a file for reading below an open directory; -1 where that is not cached."""
    return int(_syscall(_OPENAT2, directory, path, ctypes.byref(_FILE), _SIZE))


def open_directory(directory: int, path: bytes) -> int:
    """Open a directory (O_PATH) below an open one; -1 where that is not cached."""
    return int(_syscall(_OPENAT2, directory, path, ctypes.byref(_DIRECTORY), _SIZE))


def directory_mtime(directory: int, name: bytes) -> int:
    """Return the mtime of a directory below an open one, in ns; -1 where that is not cached."""
    fd = open_directory(directory, name)
    if fd < 0:
        return -1
    try:
        return os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)


def head_and_size(directory: int, name: bytes, length: int) -> tuple[bytes, int] | None:
    """Return the first `length` bytes of a file, and its size; None where they are not cached."""
    fd = open_file(directory, name)
    if fd < 0:
        return None
    head = bytearray(length)
    try:
        count = os.preadv(fd, (head,), 0, os.RWF_NOWAIT)
        return bytes(head[:count]), os.fstat(fd).st_size
    except OSError:
        return None
    finally:
        os.close(fd)


class CachedReader:
    """Reads files below one directory. For one thread; buffers are reused."""

    __slots__ = ("_buffer", "_path", "_root", "_views")

    def __init__(self, root: Path) -> None:
        """`root`: the mail volume, opened when first asked for."""
        self._path: Path | None = root
        self._root = -1
        self._buffer = bytearray(LIMIT + 1)
        self._views = (memoryview(self._buffer),)

    def read(self, path: bytes) -> bytes | None:
        """Return the content of a file, by its path below the root; None: ask the disk."""
        if not self.is_open():
            return None
        fd = open_file(self._root, path)
        if fd < 0:
            return None
        try:
            count = os.preadv(fd, self._views, 0, os.RWF_NOWAIT)
            # A short read may end where the cache ends; only the next one knows.
            if count > LIMIT or (count and os.preadv(fd, self._views, count, os.RWF_NOWAIT)):
                return None
        except OSError:
            return None
        finally:
            os.close(fd)
        return bytes(self._views[0][:count]) if count else None

    def open_directory(self, path: bytes) -> int:
        """Open a directory (O_PATH) by its path below the root; -1: ask the disk."""
        if not self.is_open():
            return -1
        return open_directory(self._root, path)

    def is_open(self) -> bool:
        """Tell whether the volume may be read. As the process itself, whoever is acted for later.

        Decided once: a volume elsewhere, or one that is not there yet, is left to the pool.
        """
        if self._root >= 0 or self._path is None:
            return self._root >= 0
        path, self._path = self._path, None
        if path is not None and is_local(path):
            self._root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self._root >= 0

    def close(self) -> None:
        """Read nothing more."""
        self._path = None
        if self._root >= 0:
            fd, self._root = self._root, -1
            os.close(fd)

    __del__ = close


def is_local(path: Path) -> bool:
    """Tell whether a directory lies on a file system whose caches are this machine's own. BLOCKING.

    False where that is not certain.
    """
    try:
        device = os.stat(path).st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").split("\n"):
            fields, _, kind = line.partition(" - ")
            if fields and fields.split(" ")[2] == wanted:
                return kind.split(" ")[0] in _LOCAL
    except (OSError, IndexError):
        return False
    return False
