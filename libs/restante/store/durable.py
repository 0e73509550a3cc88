"""Files that must survive: made in tmp/, synced, and moved into place (rules 2-4 of delivery)."""

import errno
import os
import time
from contextlib import suppress
from typing import Final

from restante.model import ErrorKind, MailError, spans
from restante.store.metrics import FSYNC_FILE
from restante.store.names import unique_name

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS: Final = 10


def create(directory: int, name: str, id: str = "") -> tuple[int, str]:
    """Make a new file of mode 0600; returns its descriptor and the name it got. OSError.

    A name that exists is somebody else's, however unlikely: another one is taken, for the message
    `id` where it is one's.
    """
    for _ in range(_ATTEMPTS):
        try:
            return os.open(name, _CREATE, 0o600, dir_fd=directory), name
        except FileExistsError:
            name = unique_name(id)
    raise OSError(errno.EEXIST, "no free name")


def open_or_create(directory: int, name: str) -> int:
    """Open a file for reading and writing, made durably with mode 0600 where it is not. OSError."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        with suppress(FileNotFoundError):
            return os.open(name, flags, dir_fd=directory)
        try:
            fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
        except FileExistsError:  # another process was faster
            continue
        try:
            os.fsync(directory)
        except BaseException:
            os.close(fd)
            raise
        return fd


def write_all(fd: int, data: bytes) -> None:
    """Write everything, however little each call takes. OSError."""
    done = os.write(fd, data)
    while done < len(data):
        more = os.write(fd, memoryview(data)[done:])
        if not more:
            raise OSError(errno.EIO, "nothing could be written")
        done += more


def seal(fd: int, date: int | None) -> os.stat_result:
    """Set the mtime, sync and close; returns the file's status. OSError from any of them.

    The descriptor is closed in every case.
    """
    try:
        if date is not None:
            # The access time keeps it young for whoever cleans tmp/ before it is in place.
            os.utime(fd, (time.time(), date))
        started = time.perf_counter()
        os.fsync(fd)
        spent = time.perf_counter() - started
        FSYNC_FILE.observe(spent)
        spans.past("fsync file", spent)
        status = os.fstat(fd)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            os.close(fd)
        raise
    os.close(fd)
    return status


def discard(directory: int, name: str) -> None:
    """Unlink a file in tmp/, ignoring errors (rule 6)."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        return


def rename_into(source: int, name: str, target: int, filename: str, inode: int) -> bool:
    """Rename a file of tmp/ into place. OSError.

    False: ENOENT, and the target does not hold our file either. It may yet have arrived and been
    moved on by a reader; the caller looks for `inode` where readers move to.
    """
    try:
        os.rename(name, filename, src_dir_fd=source, dst_dir_fd=target)
    except FileNotFoundError:
        return find_inode(target, inode) is not None
    return True


def link_into(source: int, name: str, target: int, filename: str, inode: int) -> bool:
    """Link a file of tmp/ into place; False: the name is taken by another file. OSError."""
    try:
        os.link(name, filename, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        return os.stat(filename, dir_fd=target, follow_symlinks=False).st_ino == inode
    return True


def find_inode(directory: int, inode: int) -> str | None:
    """Return the name of a file in a directory by its inode, from a listing (rule 10). OSError."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.inode() == inode:
                return entry.name
    return None


def mail_error(error: OSError) -> MailError:
    """Return what to tell the peer: a user's disk quota is over quota, all else is temporary."""
    if error.errno == errno.EDQUOT:
        return MailError(ErrorKind.OVER_QUOTA, "disk quota exceeded")
    if error.errno == errno.ENOSPC:
        return MailError(ErrorKind.TEMPORARY, "mail volume is full")
    name = errno.errorcode.get(error.errno or 0, "error")
    return MailError(ErrorKind.TEMPORARY, f"mail volume failed ({name})")
