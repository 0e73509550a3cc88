"""Locks on a file that itself holds what they protect.

Why in the file: a lock on one file and data in another that is replaced by rename loses updates
between hosts of a network volume, since the lock renews cached data but not cached names.

Mechanics: open-file-description locks (F_OFD_SETLK) belong to the open file, not to the process,
so that closing another descriptor of the same file does not drop them. Where the file system has
none, the POSIX lock of the process is used; then no second descriptor of the file may be closed
while the lock is held, which callers here keep by opening such files in one place.

Two sessions of one process queue on a mutex of their own, by device and inode: first because
they may share one descriptor, which never excludes itself, and second because waiting there costs
nothing, while waiting for another process means asking again and again: fcntl has no lock with a
time limit that threads could use.
"""

import errno
import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from restante.model import ErrorKind, MailError
from restante.store.metrics import LOCK_TIMEOUTS, LOCK_WAIT

DEFAULT_TIMEOUT: Final = 30.0  # seconds

_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
_UNLOCK: Final = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)
_EXCLUSIVE: Final = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_FIRST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.02


class _Mutex:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


_mutexes: dict[tuple[int, int], _Mutex] = {}
_guard = threading.Lock()


def _after_fork() -> None:
    # Another thread may have held any of these; in the child that thread is gone.
    global _mutexes, _guard
    _mutexes = {}
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def locked(fd: int, *, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Hold the exclusive lock of the file that is open for writing as `fd`. BLOCKING.

    Excludes every other holder: threads, processes, and hosts of a network volume. Not reentrant.
    Raises MailError(TEMPORARY) after `timeout` seconds or where the file cannot be locked.
    """
    started = time.monotonic()
    deadline = started + timeout
    status = os.fstat(fd)
    key = (status.st_dev, status.st_ino)
    with _guard:
        mutex = _mutexes.get(key)
        if mutex is None:
            mutex = _mutexes[key] = _Mutex()
        mutex.users += 1
    try:
        if not mutex.lock.acquire(timeout=max(timeout, 0)):
            raise _timed_out(timeout)
        try:
            _acquire(fd, deadline, timeout)
            LOCK_WAIT.observe(time.monotonic() - started)
            try:
                yield
            finally:
                _release(fd)
        finally:
            mutex.lock.release()
    finally:
        with _guard:
            mutex.users -= 1
            if not mutex.users and _mutexes.get(key) is mutex:
                del _mutexes[key]


def _acquire(fd: int, deadline: float, timeout: float) -> None:
    pause = _FIRST_PAUSE
    while True:
        try:
            _set(fd, _EXCLUSIVE)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                raise MailError(ErrorKind.TEMPORARY, "mailbox cannot be locked") from error
        else:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise _timed_out(timeout)
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def _release(fd: int) -> None:
    try:
        _set(fd, _UNLOCK)
    except OSError:
        # The descriptor is broken (ESTALE, EIO): the lock went with it or goes when it is closed.
        return


def _set(fd: int, what: bytes) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, what)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
        fcntl.fcntl(fd, fcntl.F_SETLK, what)


def _timed_out(timeout: float) -> MailError:
    if timeout > 0:  # else nobody wanted to wait, and goes on without it
        LOCK_TIMEOUTS.inc()
    return MailError(ErrorKind.TEMPORARY, "mailbox is locked by another session, try again")
