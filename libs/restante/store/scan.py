"""What lies in new/ and cur/, and when it must be looked at again.

Listing cur/ of a large folder costs what everything else together does not, so it is done only
when its modification time differs from the one that the index remembers. Four races decide what
may be remembered:

1. Granularity. Two changes within one tick of the volume's clock leave the same mtime. A listing
   is *settled* when the clock stood above the directory's mtime before the listing began: any
   later change then moves the mtime. The clock is the volume's own, read by touching the index
   file, so that neither the size of a tick nor the clock of this machine matters. An unsettled
   listing is true, but is repeated by a later refresh.
2. Our own renames move the mtime of cur/, and hide what another program did in the same moment.
   If the mtime was the remembered one before (under the lock) and is another after, the new one is
   remembered as unsettled: only a program that does not know our lock can have slipped in between.
   The listing that makes sure is put off for a time that grows with the folder, up to a minute. If
   the mtime was not the remembered one before, it is left alone, so the next refresh lists.
3. new/ is empty after each refresh and cheap to list. It is listed again after moving, and only a
   listing that found nothing is remembered.
4. A listing may miss a file that is renamed meanwhile, or show it under two names. So a message is
   gone only when a second listing, begun after the first ended, misses it as well; two names are
   two messages only when both exist together and are different files.

Dot files (.nfs files of network clients among them) and directories are not messages. Names are
bytes; any byte but "/" and NUL may occur.
"""

import os
import re
import stat
import sys
from time import perf_counter
from typing import Final, NamedTuple

from restante.model.flag import LETTERS_OF, flags_of
from restante.store.faults import GONE
from restante.store.metrics import LISTINGS

# What os.fsencode does, without its checks of each name.
_ENCODING: Final = sys.getfilesystemencoding()
_ERRORS: Final = sys.getfilesystemencodeerrors()
_CHUNK: Final = 1 << 20
_SETTLE_NS_PER_ROW: Final = 600_000
_SETTLE_AT_MOST_NS: Final = 60_000_000_000
_TIME: Final = re.compile(rb"(\d{1,15})\.(?:M(\d{1,9}))?")
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Found(NamedTuple):
    """A file that the index does not know."""

    name: bytes
    base: bytes
    flags: int
    in_new: bool
    wire_size: int
    date: int
    mtime: int


def directory_mtime(folder: int, name: str) -> int:
    """Return the mtime (ns) of a subdirectory. Opening it makes a network client ask the server."""
    fd = os.open(name, _DIRECTORY, dir_fd=folder)
    try:
        return os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)


def list_directory(folder: int, name: str) -> list[bytes]:
    """Return the names of possible messages, in no order."""
    fd = os.open(name, _DIRECTORY, dir_fd=folder)
    try:
        started = perf_counter()
        names = os.listdir(fd)
        LISTINGS[name].observe(perf_counter() - started)
        return [e.encode(_ENCODING, _ERRORS) for e in names if e[0] != "."]
    finally:
        os.close(fd)


def settling_is_due(mtime: int, now: int, rows: int) -> bool:
    """Tell whether an unsettled cur/ should be listed; `now` of this machine's clock, both ns."""
    age = now - mtime
    return age < 0 or age > min(rows * _SETTLE_NS_PER_ROW, _SETTLE_AT_MOST_NS)


def split(name: bytes) -> tuple[bytes, int]:
    """Return base name and flags of a file name."""
    base, mark, letters = name.partition(b":2,")
    return base, flags_of_letters(letters) if mark else 0


_flags_cache: dict[bytes, int] = {}


def flags_of_letters(letters: bytes) -> int:
    """Return the mask of what follows ":2,"; what follows a comma is not ours."""
    flags = _flags_cache.get(letters)
    if flags is None:
        flags = int(flags_of(letters.partition(b",")[0].decode("latin-1")))
        if len(_flags_cache) < 4096:
            _flags_cache[letters] = flags
    return flags


def with_flags(name: bytes, flags: int) -> bytes:
    """Return a file name with other flags; letters that are not system flags stay."""
    base, _, letters = name.partition(b":2,")
    own = LETTERS_OF[flags].encode()
    other = bytes(c for c in letters.partition(b",")[0] if c not in b"DFPRST")
    return base + b":2," + (bytes(sorted(own + other)) if other else own)


def delivery_order(found: Found) -> tuple[int, int, bytes]:
    """Sort key of new messages: seconds and microseconds of the name, else the file's time."""
    match = _TIME.match(found.base)
    if match is None:
        return found.mtime // 1_000_000_000, found.mtime // 1000 % 1_000_000, found.base
    return int(match[1]), int(match[2] or 0), found.base


def examine(folder: int, directory: str, name: bytes) -> Found | None:
    """Look at an unknown file; None where it is gone or not a plain file. Raises OSError.

    The wire size comes from the name where the name's other size agrees with the file, and from
    the file's line ends otherwise.
    """
    path = os.path.join(directory.encode(), name)
    try:
        status = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    if not stat.S_ISREG(status.st_mode):
        return None
    base, flags = split(name)
    wire_size = number_after(base, b",W=")
    if wire_size < status.st_size or number_after(base, b",S=") != status.st_size:
        try:
            wire_size = measure(folder, path)
        except OSError as error:
            if error.errno in GONE:
                return None
            wire_size = status.st_size  # unreadable: it is listed, and reading it will tell
    return Found(
        name,
        base,
        flags,
        directory == "new",
        wire_size,
        int(status.st_mtime),
        status.st_mtime_ns,
    )


def measure(folder: int, path: bytes) -> int:
    """Return the bytes of a file with CRLF line ends."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        size = bare = 0
        last = b""
        while chunk := os.read(fd, _CHUNK):
            size += len(chunk)
            bare += chunk.count(b"\n") - chunk.count(b"\r\n")
            if last == b"\r" and chunk[:1] == b"\n":
                bare -= 1
            last = chunk[-1:]
        return size + bare
    finally:
        os.close(fd)


def number_after(base: bytes, key: bytes) -> int:
    """Return the number of ",S=" or ",W=" in a base name, or -1."""
    at = base.rfind(key)
    if at < 0:
        return -1
    digits = base[at + len(key) :].partition(b",")[0]
    return int(digits) if digits.isdigit() and len(digits) <= 15 else -1
