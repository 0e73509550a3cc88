"""Hints from the kernel: what any program does to a folder on the local disk, exim included.

One inotify descriptor a process; three watches a folder: new/ and cur/ for messages, the folder
itself for the index. They cost a few hundred bytes of kernel memory each and no descriptor.
Where the kernel allows no more (fs.inotify.max_user_watches), a folder has the slow rescan only.

Two watches of one directory in a process share the kernel's. A queue overflow calls everyone.
Events of one read are gathered: each folder is called once, however many messages came.
"""

import asyncio
import ctypes
import errno
import os
import struct
import time
from pathlib import Path
from typing import Final

import structlog

from restante.model import INBOX, FolderName
from restante.store.hints import RESCAN, Callback, Hints, Watch
from restante.store.layout import disk_name
from restante.store.metrics import HINT_LAG, HINTS_UP

INDEX: Final = b"restante.index"

_MODIFY: Final = 0x2
_MOVED: Final = 0xC0  # from and to
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_GONE_SELF: Final = 0xC00  # the directory itself was removed or renamed
_ARRIVED: Final = 0x182  # something was moved here, made, or written to
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLY_DIRECTORY: Final = 0x1000000
_MESSAGES: Final = _MOVED | _CREATE | _DELETE | _GONE_SELF | _ONLY_DIRECTORY
_FOLDER: Final = _MODIFY | _MOVED | _CREATE | _GONE_SELF | _ONLY_DIRECTORY

_EVENT: Final = struct.Struct("iIII")
_BUFFER: Final = 64 << 10

_log = structlog.get_logger(__name__)
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _FolderWatch(Watch):
    __slots__ = ("descriptors", "folder", "maildir")

    maildir: Path
    folder: FolderName
    descriptors: tuple[int, ...]  # of the kernel: folder, new, cur; empty: rescan only


class InotifyHints(Hints):
    """Hints of the local file system; `publish` has nothing to do, as the kernel saw it."""

    def __init__(self, *, rescan: int = RESCAN) -> None:
        super().__init__(rescan=rescan)
        self._fd = -1
        self._watches: dict[int, tuple[_FolderWatch, ...]] = {}
        self._complained = False
        HINTS_UP.follow(self, lambda hints: not hints._complained)

    def watch(self, maildir: Path, folder: FolderName, directory: int, callback: Callback) -> Watch:
        """See Hints.watch."""
        watch = _FolderWatch(self, None, callback, self._next_bucket())
        watch.maildir, watch.folder, watch.descriptors = maildir, folder, ()
        descriptors: list[int] = []
        try:
            self._open()
            for path, mask in ((".", _FOLDER), ("new", _MESSAGES), ("cur", _MESSAGES)):
                # Through the descriptor, so that no symbolic link and no rename can intervene.
                full = f"/proc/self/fd/{directory}/{path}".encode()
                number = _checked(_libc.inotify_add_watch(self._fd, full, mask))
                self._watches[number] = (*self._watches.get(number, ()), watch)
                descriptors.append(number)
        except OSError as error:
            self._remove(watch, descriptors)
            if error.errno in (errno.ENOSPC, errno.EMFILE, errno.ENOMEM) and not self._complained:
                self._complained = True
                _log.warning("no inotify watch left: folders are rescanned", error=str(error))
        else:
            watch.descriptors = tuple(descriptors)
        self._keep(watch)
        return watch

    def cancel(self, watch: Watch) -> None:
        """See Hints.cancel."""
        super().cancel(watch)
        if isinstance(watch, _FolderWatch):
            self._remove(watch, watch.descriptors)
            watch.descriptors = ()

    async def close(self) -> None:
        """See Hints.close."""
        await super().close()
        self._watches.clear()
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        if self._fd >= 0:
            return
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _remove(self, watch: _FolderWatch, descriptors: list[int] | tuple[int, ...]) -> None:
        for number in descriptors:
            rest = tuple(other for other in self._watches.get(number, ()) if other is not watch)
            if rest:
                self._watches[number] = rest
            elif self._watches.pop(number, None) is not None:
                _libc.inotify_rm_watch(self._fd, number)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return
        called: dict[_FolderWatch, bytes] = {}  # with the path of a file that came, or b""
        at = 0
        while at < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            if mask & _OVERFLOW:
                called.update((watch, b"") for all_ in self._watches.values() for watch in all_)
                continue
            for watch in self._watches.get(number, ()):
                inside = watch.descriptors and number == watch.descriptors[0]
                if inside and not mask & (_GONE_SELF | _IGNORED):
                    name = data[at - length : at].rstrip(b"\0")
                    if name != INDEX:
                        continue
                called[watch] = b""
                if mask & _ARRIVED and watch.descriptors:
                    part = ("", "new", "cur")[watch.descriptors.index(number)]
                    called[watch] = os.path.join(
                        part.encode(), data[at - length : at].rstrip(b"\0")
                    )
            if mask & _IGNORED:  # the kernel dropped it: the directory is gone
                self._watches.pop(number, None)
        for watch, path in called.items():
            if watch.descriptors:  # not cancelled by a callback before it
                if path:
                    _measure(watch, path)
                watch.callback()


def _measure(watch: _FolderWatch, path: bytes) -> None:
    """Tell how old the change is that we hear of: by ctime, of this machine's clock like ours.

    The kernel stamps files with the time of its last tick, up to 4 ms ago.
    """
    folder = os.fsencode(watch.maildir)
    if watch.folder != INBOX:
        folder = os.path.join(folder, os.fsencode(disk_name(watch.folder)))
    try:
        changed = os.stat(os.path.join(folder, path), follow_symlinks=False).st_ctime
    except OSError:
        return  # gone again, or not ours to see
    HINT_LAG.observe(max(0.0, time.time() - changed))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
