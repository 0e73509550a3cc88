"""Cleaning of tmp/ (rule 17): what a crash left there goes after 36 hours by the server's clock.

The server's clock is the mtime that the volume gives to a file made now: hosts disagree.
"""

import os
import shutil
import time
from typing import Final

from restante.store.names import unique_name

MAX_AGE: Final = 36 * 3600  # seconds
MAX_LOOKED_AT: Final = 200  # names at a time, so that a full tmp/ does not stall a delivery


def clean_tmp(tmp: int) -> int:
    """Remove old files (and directories of deleted folders) from the tmp open as `tmp`.

    Returns how many. Cheap where tmp is empty. Errors are ignored: this is housekeeping, and a
    delivery that merely passes by must not fail by it.
    """
    try:
        names = os.listdir(tmp)
        if not names:
            return 0
        ages: list[tuple[str, float]] = []
        for name in names[:MAX_LOOKED_AT]:
            try:
                status = os.stat(name, dir_fd=tmp, follow_symlinks=False)
                # A message with an old internal date has an old mtime while it is being placed.
                ages.append((name, max(status.st_mtime, status.st_atime)))
            except OSError:
                continue
        # Our own clock only tells whether it is worth asking the server for its time.
        guess = time.time() - MAX_AGE
        if not any(mtime < guess for _, mtime in ages):
            return 0
        limit = _server_time(tmp) - MAX_AGE
    except OSError:
        return 0
    return sum(_remove(tmp, name) for name, mtime in ages if mtime < limit)


def _server_time(tmp: int) -> float:
    probe = unique_name()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(probe, flags, 0o600, dir_fd=tmp)
    try:
        return os.fstat(fd).st_mtime
    finally:
        os.close(fd)
        os.unlink(probe, dir_fd=tmp)


def _remove(tmp: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=tmp)
    except IsADirectoryError:
        shutil.rmtree(name, ignore_errors=True, dir_fd=tmp)
    except OSError:
        return False
    return True
