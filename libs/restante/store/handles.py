"""Open directories of folders that mail comes into, and the sync that deliveries share.

A delivery needs tmp/, new/ and cur/ of its folder as descriptors: for names relative to them
(no symbolic link can lead away) and to sync them. Opening them costs as much as the rest of a
small delivery, so they stay open for a moment: MAX_AGE seconds, at most MAX_OPEN folders, the
least recently used goes first. A handle that has expired or is dropped closes when its last user
is done. The age bounds how long mail may follow a folder that was moved away by hand; a folder
that was deleted answers ENOENT at once, and then the caller drops the handle and asks again.

Shared sync (group commit). A caller needs a sync of new/ that *began* after its rename. While one
sync runs, all who come wait for the next one, which serves them all. `_begun` counts syncs that
began: a caller is served by any sync numbered above the count that it saw after its rename. When
a sync fails, everyone whom it should have served fails, and so does everyone after, since the
kernel reports a lost write once only: the handle is poisoned and dropped.
"""

import os
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from restante.model import FolderName, spans
from restante.store.identity import Identity
from restante.store.layout import open_directory, open_folder
from restante.store.metrics import FSYNC_DIRECTORY, SYNCS_SHARED
from restante.store.tmpfiles import clean_tmp

MAX_AGE: Final = 2.0  # seconds
MAX_OPEN: Final = 64


_Key = tuple[str, FolderName, Identity | None]


class SharedSync:
    """fsync of one directory for many threads."""

    __slots__ = ("_begun", "_ended", "_fd", "_turn", "failure")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._turn = threading.Lock()
        self._begun = 0
        self._ended = 0
        self.failure: OSError | None = None

    def sync(self) -> None:
        """Return when all changes that the caller has made are durable. BLOCKING; OSError."""
        needed = self._begun + 1
        with self._turn:
            if self.failure is None and self._ended < needed:
                self._begun = number = self._begun + 1
                started = time.perf_counter()
                try:
                    os.fsync(self._fd)
                except OSError as error:
                    self.failure = error
                spent = time.perf_counter() - started
                FSYNC_DIRECTORY.observe(spent)
                spans.past("fsync directory", spent)
                self._ended = number
            else:
                SYNCS_SHARED.inc()
            if self.failure is not None:
                raise OSError(self.failure.errno, "directory sync failed")


class FolderHandle:
    """The directories of one folder: `folder`, `tmp`, `new`, `cur` are descriptors."""

    __slots__ = (
        "born",
        "closed",
        "cur",
        "dropped",
        "folder",
        "key",
        "new",
        "sync_cur",
        "sync_new",
        "tmp",
        "users",
    )

    def __init__(self, key: _Key, maildir: Path, name: FolderName) -> None:
        opened = [open_folder(maildir, name)]
        try:
            opened.extend(open_directory(part, opened[0]) for part in ("tmp", "new", "cur"))
            clean_tmp(opened[1])
        except BaseException:
            for fd in opened:
                os.close(fd)
            raise
        self.closed = False
        self.folder, self.tmp, self.new, self.cur = opened
        self.sync_new = SharedSync(self.new)
        self.sync_cur = SharedSync(self.cur)
        self.key = key
        self.born = time.monotonic()
        self.users = 0
        self.dropped = False

    def close(self) -> None:
        """Close the descriptors; only the cache calls this."""
        self.closed = True
        for fd in (self.folder, self.tmp, self.new, self.cur):
            os.close(fd)

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self.close()


class HandleCache:
    """Handles by (Maildir, folder, who opened it). Thread-safe."""

    def __init__(self, max_open: int = MAX_OPEN, max_age: float = MAX_AGE) -> None:
        self._max_open = max_open
        self._max_age = max_age
        self._guard = threading.Lock()
        self._handles: OrderedDict[_Key, FolderHandle] = OrderedDict()

    def acquire(
        self, maildir: Path, name: FolderName, identity: Identity | None = None
    ) -> FolderHandle:
        """Return a handle to be given back by `release`. BLOCKING where it must be opened.

        `identity` is whom the caller acts for: a handle is for whoever could open it himself.
        MailError(NO_SUCH_FOLDER | TEMPORARY), OSError.
        """
        key = (str(maildir), name, identity)
        now = time.monotonic()
        with self._guard:
            old = self._handles.get(key)
            if old is not None:
                self._handles.move_to_end(key)
                if now - old.born < self._max_age:
                    old.users += 1
                    return old
                # We renew it; whoever comes meanwhile has the old one for that moment longer.
                old.born = now
        try:
            fresh = FolderHandle(key, maildir, name)
        except BaseException:
            if old is not None:
                self.drop(old)
            raise
        with self._guard:
            current = self._handles.get(key)
            if current is not None and current is not old:
                # Somebody else was faster; only one handle has the sync that all share.
                fresh.close()
                current.users += 1
                return current
            if current is not None:
                self._retire(self._handles.pop(key))
            fresh.users = 1
            self._handles[key] = fresh
            while len(self._handles) > self._max_open:
                self._retire(self._handles.popitem(last=False)[1])
        return fresh

    def release(self, handle: FolderHandle) -> None:
        """Give a handle back."""
        with self._guard:
            handle.users -= 1
            if handle.dropped and not handle.users:
                handle.close()

    def drop(self, handle: FolderHandle) -> None:
        """Let nobody else get this handle: what it leads to is gone or its sync has failed."""
        with self._guard:
            if self._handles.get(handle.key) is handle:
                del self._handles[handle.key]
                self._retire(handle)

    def forget(self, maildir: Path) -> None:
        """Drop all handles of a Maildir whose folders were renamed or deleted."""
        path = str(maildir)
        with self._guard:
            for key in [key for key in self._handles if key[0] == path]:
                self._retire(self._handles.pop(key))

    def close(self) -> None:
        """Close everything that is not in use, and the rest when it is given back."""
        with self._guard:
            while self._handles:
                self._retire(self._handles.popitem()[1])

    def _retire(self, handle: FolderHandle) -> None:
        handle.dropped = True
        if not handle.users:
            handle.close()
