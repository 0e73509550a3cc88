"""A message on its way in: from the wire into tmp/, and from there into a folder, durably.

Everything that comes in goes through `Incoming`: LMTP, the HTTP hook, IMAP's APPEND. It takes no
lock. The numbered rules are those of Maildir delivery on network volumes:

1. a unique name (names.py);
2. O_CREAT|O_EXCL in tmp/, another name on EEXIST;
3. short writes are continued; fsync and close are checked, since a full disk or quota may show
   only there;
4. link or rename into place. A call that a network client repeats may fail although the first one
   worked: EEXIST of link and ENOENT of rename are resolved by looking for our inode;
5. sync of the directory, then success. Deliveries that run at once share it (handles.py);
6. errors of unlinking in tmp/ are ignored: they must not turn a delivery that arrived into one
   that failed and comes again;
7. any failure is MailError: OVER_QUOTA, or TEMPORARY, never silence. A failure after step 4 leaves
   the message where it is: delivery is at least once;
8. durability on the server is the mount's business (sync exports, hard mounts).

A small message stays in memory until its first delivery, which is then seven system calls: open,
write, fsync, fstat, close, rename, fsync of the directory. A larger one is streamed into tmp/ of
the first recipient. More recipients get hard links of one file; a copy where the volume or the
owner differs, where the text differs (`prefix`), or where links run out.

Idempotent deliveries (`key`) take the lock of a small file in the account's Maildir, which also
holds what was delivered lately (keyed.py), so that a repeated request finds the first one on any
host: by its name in new/ or cur/ after a crash, by the record after a reader moved or removed it.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from restante.model import INBOX, NO_FLAGS, ErrorKind, Flag, FolderName, MailError, MessageName
from restante.store import durable
from restante.store.durable import mail_error
from restante.store.handles import FolderHandle
from restante.store.identity import Identity, acting
from restante.store.keyed import keyed_deliveries
from restante.store.layout import open_directory, open_folder
from restante.store.lines import LineStorer, to_stored, wire_size_of
from restante.store.names import keyed_name, new_id, unique_name, unique_part, with_sizes

if TYPE_CHECKING:
    from restante.store.account import AccountStore

SMALL: Final = 128 << 10  # bytes that are held in memory

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TOGETHER: Final = 32  # recipients whose directories are open at once
_COPY_CHUNK: Final = 1 << 20
# Errors of link and rename that a copy can mend; EACCES and EPERM: links may be forbidden.
_NO_LINK: Final = frozenset(
    (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS)
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where a message arrived. A duplicate (of a key) was there before and may have moved on."""

    base: str  # base name: the key in the index
    filename: str  # name in the directory, with ":2,<flags>" in cur
    directory: str  # "new" or "cur"
    size: int  # bytes on disk
    wire_size: int  # bytes with CRLF line ends
    date: int  # mtime, unix seconds: the internal date
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class _How:
    """What one delivery asks for."""

    unique: str
    prefix: bytes  # as stored
    flags: Flag
    current: bool
    date: int | None
    last: bool

    def renaming(self) -> "_How":
        """The same with a file that nobody else is to get."""
        return self if self.last else replace(self, last=True)

    check_quota: bool = True


@dataclass(slots=True)
class _Kept:
    """A file in a tmp/, from which further recipients are served."""

    tmp: int  # descriptor of the directory; closed with the Incoming
    name: str
    owner: Identity | None
    inode: int = 0
    mtime: int = 0
    prefix: bytes = b""
    date: int | None = None
    readable: int = -1  # a descriptor to copy from, also for who may not open it; closed likewise


class Incoming:
    """One message, written in chunks, then delivered to one or many folders, then over.

    Not thread-safe: one job at a time. The owner calls `abort` at the end in every case (a
    message that was delivered with last=True has nothing left to remove). All methods raise
    MailError only; all are BLOCKING, but for `write` while `fits_in_memory` says so.
    """

    def __init__(self, first: "AccountStore", id: str = "") -> None:
        """`first`: in whose tmp/ a large message is streamed. `id`: the message's (names.py)."""
        self._first = first
        self._id = id or new_id()
        self._lines = LineStorer()
        self._chunks: list[bytes] = []  # the whole message while there is no spool
        self._held = 0
        self._spool = -1  # descriptor of the file that a large message is streamed to
        self._spooled = False
        self._kept: _Kept | None = None
        self._over = False

    @property
    def size(self) -> int:
        """Bytes on disk so far, without any prefix."""
        return self._lines.size

    @property
    def wire_size(self) -> int:
        """Bytes with CRLF line ends so far, without any prefix."""
        return self._lines.wire_size

    def fits_in_memory(self, more: int) -> bool:
        """Tell whether a write of that many bytes leaves the disk alone."""
        return not self._spooled and self._held + more <= SMALL

    def write(self, chunk: bytes) -> None:
        """Take a chunk, cut anywhere, in wire form (CRLF) or with LF."""
        stored = self._lines.feed(chunk)
        if self._spooled:
            self._stream(stored)
            return
        self._chunks.append(stored)
        self._held += len(stored)
        if self._held > SMALL:
            self._start_spool()

    def deliver(
        self,
        target: "AccountStore",
        folder: FolderName = INBOX,
        *,
        prefix: bytes = b"",
        flags: Flag = NO_FLAGS,
        current: bool = False,
        date: int | None = None,
        last: bool,
        key: str | None = None,
        check_quota: bool = True,
    ) -> Delivered:
        """Put the message into a folder of an account; when this returns, it is durable.

        prefix: fields before the message for this recipient only (same form as chunks).
        flags, current: into cur/ with these flags (`current` alone: with none) instead of new/.
        date: internal date, unix seconds; None is now. last: no other delivery follows.
        key: repeated for the same account within two days, it delivers once.
        check_quota: False lets it in even where the mailbox is full; it is counted all the same.

        MailError: OVER_QUOTA (before anything is visible), NO_SUCH_FOLDER, TEMPORARY.
        """
        stored_prefix = to_stored(prefix) if prefix else b""
        how = _How("", stored_prefix, flags, current or bool(flags), date, last, check_quota)
        if key is not None:
            return self._deliver_keyed(target, folder, how, key)
        return self._place(target, folder, how).finish()

    def deliver_many(
        self, targets: Sequence["AccountStore"], *, prefix: bytes = b""
    ) -> list[Delivered | MailError]:
        """Put the message into the INBOX of each account: one result per account, in order.

        Faster than one by one: all files are in place before the first directory is synced. It is
        the last delivery.
        """
        how = _How("", to_stored(prefix), NO_FLAGS, False, None, False)
        results: list[Delivered | MailError] = []
        for first in range(0, len(targets), _TOGETHER):
            placed: list[_Placed | MailError] = []
            for number in range(first, min(first + _TOGETHER, len(targets))):
                own = how.renaming() if number == len(targets) - 1 else how
                try:
                    placed.append(self._place(targets[number], INBOX, own))
                except MailError as error:
                    placed.append(error)
            for item in placed:
                try:
                    results.append(item if isinstance(item, MailError) else item.finish())
                except MailError as error:
                    results.append(error)
        return results

    def abort(self) -> None:
        """Remove what is left in tmp/. Harmless at any time and more than once; never raises."""
        self._over = True
        self._chunks.clear()
        if self._spool >= 0:
            fd, self._spool = self._spool, -1
            with suppress(OSError):
                os.close(fd)
        self._remove_kept()

    def _remove_kept(self) -> None:
        if self._kept is not None:
            kept, self._kept = self._kept, None
            if kept.name:
                with suppress(MailError), acting(kept.owner):
                    durable.discard(kept.tmp, kept.name)
            os.close(kept.tmp)
            if kept.readable >= 0:
                with suppress(OSError):
                    os.close(kept.readable)

    # -- streaming to tmp/ -------------------------------------------------------------------

    def _start_spool(self) -> None:
        try:
            with self._first.acting():
                folder = open_folder(self._first.maildir, INBOX)
                try:
                    tmp = open_directory("tmp", folder)
                finally:
                    os.close(folder)
                self._spooled = True
                kept = self._kept = _Kept(tmp, "", self._first.identity)
                self._spool, kept.name = durable.create(tmp, unique_name(self._id), self._id)
                kept.readable = os.open(kept.name, _READ, dir_fd=tmp)
        except OSError as error:
            self.abort()
            raise mail_error(error) from error
        held = b"".join(self._chunks)
        self._chunks.clear()
        self._stream(held)

    def _stream(self, stored: bytes) -> None:
        if self._over:
            raise MailError(ErrorKind.TEMPORARY, "message could not be stored")
        try:
            durable.write_all(self._spool, stored)
        except OSError as error:
            self.abort()
            raise mail_error(error) from error

    def _complete(self, date: int | None) -> None:
        """No more chunks: sync the spool, or take the last byte into memory."""
        if self._over:
            raise MailError(ErrorKind.TEMPORARY, "message could not be stored")
        rest = self._lines.finish()
        if not self._spooled:
            if rest:
                self._chunks.append(rest)
            return
        if self._spool < 0:
            return
        self._stream(rest)
        kept = self._kept
        assert kept is not None  # noqa: S101 - made together with the spool
        fd, self._spool = self._spool, -1
        try:
            with acting(kept.owner):
                status = durable.seal(fd, date)
        except OSError as error:
            self.abort()
            raise mail_error(error) from error
        kept.inode, kept.mtime, kept.date = status.st_ino, int(status.st_mtime), date

    # -- placing in a folder -----------------------------------------------------------------

    def _place(self, target: "AccountStore", folder: FolderName, how: _How) -> "_Placed":
        """Make the message visible; `finish` of the result makes that durable. MailError."""
        self._complete(how.date)
        with target.acting():
            return self._place_as_owner(target, folder, how)

    def _place_as_owner(self, target: "AccountStore", folder: FolderName, how: _How) -> "_Placed":
        size, wire_size = self._lines.size, self._lines.wire_size
        if how.prefix:
            size += len(how.prefix)
            wire_size += wire_size_of(how.prefix)
        again = True
        while True:
            handle = target.acquire(folder)
            try:
                if how.check_quota:
                    target.check_quota(size, 1, folder=folder, flags=how.flags, handle=handle)
                delivered = self._put(target.identity, handle, how, size, wire_size)
            except OSError as error:
                target.handles.drop(handle)
                target.handles.release(handle)
                # The directories may have gone while the handle was kept: ask once more by name.
                if again and error.errno in (errno.ENOENT, errno.ESTALE):
                    again = False
                    if not self._spooled:
                        self._remove_kept()
                    continue
                raise mail_error(error) from error
            except BaseException:
                target.handles.release(handle)
                raise
            break
        target.charge(size, 1, folder=folder, flags=how.flags, handle=handle)
        if how.last:
            self.abort()
        return _Placed(target, folder, handle, delivered)

    def _put(
        self, owner: Identity | None, handle: FolderHandle, how: _How, size: int, wire_size: int
    ) -> Delivered:
        """Bring a file with this content into new/ or cur/. OSError, MailError."""
        kept = self._kept
        linkable = (
            kept is not None
            and kept.owner == owner
            and kept.prefix == how.prefix
            and kept.date == how.date
        )
        if kept is not None and linkable:
            try:
                return self._serve(kept, handle, how, size, wire_size)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
        made = self._write_file(owner, handle, how)
        if how.last or kept is not None:  # for this recipient only
            try:
                return self._serve(made, handle, how.renaming(), size, wire_size)
            except BaseException:
                if made.name:
                    durable.discard(made.tmp, made.name)
                raise
        first = self._kept = replace(made, tmp=os.dup(handle.tmp))
        try:
            return self._serve(first, handle, how, size, wire_size)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        delivered = self._serve(first, handle, how.renaming(), size, wire_size)
        self._remove_kept()
        return delivered

    def _write_file(self, owner: Identity | None, handle: FolderHandle, how: _How) -> _Kept:
        """Make a complete, synced file in the folder's tmp/. OSError."""
        fd, name = durable.create(handle.tmp, how.unique or unique_name(self._id), self._id)
        try:
            try:
                if self._spooled:
                    self._copy(fd, how.prefix)
                else:
                    durable.write_all(fd, b"".join([how.prefix, *self._chunks]))
            except BaseException:
                with suppress(OSError):
                    os.close(fd)
                raise
            status = durable.seal(fd, how.date)
        except BaseException:
            durable.discard(handle.tmp, name)
            raise
        return _Kept(
            handle.tmp, name, owner, status.st_ino, int(status.st_mtime), how.prefix, how.date
        )

    def _copy(self, fd: int, prefix: bytes) -> None:
        """Write the streamed message into another file, after a prefix of its own."""
        kept = self._kept
        assert kept is not None  # noqa: S101 - a spooled message has its file until it is over
        if prefix:
            durable.write_all(fd, prefix)
        at = 0
        while data := os.pread(kept.readable, _COPY_CHUNK, at):
            durable.write_all(fd, data)
            at += len(data)

    def _serve(
        self, kept: _Kept, handle: FolderHandle, how: _How, size: int, wire_size: int
    ) -> Delivered:
        """Rename (last) or link a complete file into place. OSError."""
        directory = handle.cur if how.current else handle.new
        # A file that is renamed takes its name in tmp/ along: nobody else has had it.
        unique = how.unique or (kept.name if how.last else unique_name(self._id))
        while True:
            base = with_sizes(unique, size, wire_size)
            filename = MessageName(base, how.flags).filename() if how.current else base
            if how.last:
                arrived = durable.rename_into(kept.tmp, kept.name, directory, filename, kept.inode)
                # A reader may have taken it from new/ to cur/ already.
                if not arrived and durable.find_inode(handle.cur, kept.inode) is None:
                    raise FileNotFoundError(errno.ENOENT, "the message is not in tmp")
                kept.name = ""
                break
            if durable.link_into(kept.tmp, kept.name, directory, filename, kept.inode):
                break
            unique = unique_name(self._id)
        where = "cur" if how.current else "new"
        return Delivered(base, filename, where, size, wire_size, kept.mtime)

    # -- idempotent deliveries ---------------------------------------------------------------

    def _deliver_keyed(
        self, target: "AccountStore", folder: FolderName, how: _How, key: str
    ) -> Delivered:
        unique = keyed_name(key, target.account.address)
        try:
            root = target.acquire(INBOX)
            try:
                with target.acting(), keyed_deliveries(root.folder) as known:
                    found = self._find_keyed(target, folder, unique)
                    record = known.find(unique)
                    if found is None and record is not None:
                        when, size, wire_size = record
                        base = with_sizes(unique, size, wire_size)
                        found = Delivered(base, base, "new", size, wire_size, when, True)
                    if found is not None:
                        if how.last:
                            self.abort()
                        return found
                    done = self._place(target, folder, replace(how, unique=unique)).finish()
                    with suppress(OSError):  # the name is there; the record only helps
                        known.record(unique, done.size, done.wire_size)
                    return done
            finally:
                target.handles.release(root)
        except OSError as error:
            raise mail_error(error) from error

    @staticmethod
    def _find_keyed(target: "AccountStore", folder: FolderName, unique: str) -> Delivered | None:
        handle = target.acquire(folder)
        try:
            for where, directory in (("new", handle.new), ("cur", handle.cur)):
                for name in os.listdir(directory):
                    if not name.startswith(unique) or unique_part(name) != unique:
                        continue
                    message = MessageName.parse(name)
                    size, wire_size = message.size or 0, message.wire_size or 0
                    try:
                        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                        date = int(status.st_mtime)
                    except FileNotFoundError:  # just moved: that it was there is enough
                        date = 0
                    # It may come from a process that died between steps 4 and 5.
                    os.fsync(directory)
                    return Delivered(message.base, name, where, size, wire_size, date, True)
        finally:
            target.handles.release(handle)
        return None


class _Placed:
    """A message that is visible in its folder and not yet durable there."""

    __slots__ = ("_delivered", "_folder", "_handle", "_target")

    def __init__(
        self,
        target: "AccountStore",
        folder: FolderName,
        handle: FolderHandle,
        delivered: Delivered,
    ) -> None:
        self._target = target
        self._folder = folder
        self._handle = handle
        self._delivered = delivered

    def finish(self) -> Delivered:
        """Sync the directory and tell the others. MailError(TEMPORARY)."""
        handles, handle = self._target.handles, self._handle
        shared = handle.sync_new if self._delivered.directory == "new" else handle.sync_cur
        try:
            shared.sync()
        except OSError as error:
            handles.drop(handle)
            raise mail_error(error) from error
        finally:
            handles.release(handle)
        self._target.publish(self._folder)
        return self._delivered
