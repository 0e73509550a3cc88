"""The accounts of a worker process and their folders.

`MailStore` hands out one AccountStore per address while anyone holds it; an AccountStore hands out
one Mailbox per folder, shared by the sessions of the process and counted (sharing.py).

A shared Mailbox is known by its folder's name and the inode of its directory: when a folder is
deleted and made again, or renamed, sessions that have it open keep the old one, and new ones get
what is there now. An inode may come back at once after another process's deletion; then the Mailbox
itself notices that its index is another one.

Names of new folders need no lock: mkdir and rename decide who is first. Renaming a folder renames
its children one by one; a crash between leaves some under the old name, none lost. A deleted folder
first disappears as a whole (renamed into the Maildir's tmp/, where the 36-hour cleaning would find
it after a crash) and is removed then. Its UIDVALIDITY is never given again (accountfile.py).
"""

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from restante.model import INBOX, Account, ErrorKind, Flag, FolderName, MailError, Quota
from restante.model.flag import NO_FLAGS
from restante.store import layout, maildirsize, subscriptions
from restante.store.durable import mail_error
from restante.store.handles import FolderHandle, HandleCache
from restante.store.hints import Hints
from restante.store.identity import acting
from restante.store.mailbox import Mailbox
from restante.store.metrics import QUOTA_REFUSALS
from restante.store.names import unique_name
from restante.store.nowait import CachedReader
from restante.store.owner import Complaints, MailOwner
from restante.store.pool import StorePool
from restante.store.sharing import SharedMailboxes
from restante.store.volume import Volumes, check_volume

SPECIAL_USES: Final = {
    ("Drafts",): "\\Drafts",
    ("Sent",): "\\Sent",
    ("Junk",): "\\Junk",
    ("Trash",): "\\Trash",
    ("Archive",): "\\Archive",
}
"""Folders of a new account and the use (RFC 6154) that a folder of this name has by default."""


_UNSEEN: Final = bytes(not flags & Flag.SEEN for flags in range(256))


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """One line of LIST."""

    name: FolderName
    special_use: str | None  # "\\Drafts" ...
    subscribed: bool
    no_select: bool  # a parent that is a name only


@dataclass(frozen=True, slots=True)
class QuotaState:
    """The limit and what is used; where there is no limit nothing is counted and used is 0."""

    limit: Quota
    used_bytes: int
    used_messages: int


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """The items of STATUS (RFC 3501 section 6.3.10, RFC 7162, RFC 8438)."""

    messages: int
    recent: int
    unseen: int
    uidnext: int
    uidvalidity: int
    highest_modseq: int
    size: int  # bytes in wire form


class MailStore:
    """All accounts of one worker process. Thread-safe."""

    def __init__(
        self,
        mail_root: Path,
        *,
        hints: Hints,
        pool: StorePool | None = None,
        volumes: Sequence[Path] = (),
    ) -> None:
        """Made on the event loop's thread, after the process has forked for the last time.

        `volumes`: further mail volumes beside that at `mail_root`.
        """
        hints.start()
        self.mail_root = mail_root
        self.volumes = Volumes(mail_root, tuple(volumes))
        self.hints = hints
        self.pool = pool or StorePool()
        self.handles = HandleCache()
        self.cached_files = CachedReader(mail_root)
        self.mailboxes: SharedMailboxes[Mailbox] = SharedMailboxes()
        self._guard = threading.Lock()
        self._accounts: WeakValueDictionary[str, AccountStore] = WeakValueDictionary()
        self.complaints = Complaints()

    def open_account(self, account: Account) -> "AccountStore":
        """Return the account's store, shared while referenced. No I/O.

        A newer record of the same account (another quota, say) is taken over.
        """
        with self._guard:
            known = self._accounts.get(account.address)
            if known is not None and known.serves(account):
                known.account = account
                return known
            fresh = AccountStore(self, account)
            self._accounts[account.address] = fresh
            return fresh

    async def close(self) -> None:
        """End the hints and the threads and close what is open. Sessions must be over."""
        await self.hints.close()
        await self.pool.run(self.mailboxes.close)
        self.handles.close()
        self.cached_files.close()
        self.pool.close()


class AccountStore:
    """One account's Maildir. All methods are BLOCKING and raise MailError, unless said."""

    def __init__(self, store: MailStore, account: Account) -> None:
        """Made by MailStore.open_account."""
        self.store = store
        self.account = account
        self._below_root = _relative(account.maildir, store.mail_root)
        self._owner = MailOwner(account, store.complaints)
        self.identity = self._owner.identity  # whom `acting` acts for; None: the process itself

    def serves(self, account: Account) -> bool:
        """Tell whether another record of the account means the same mail of the same owner."""
        one, two = self.account, account
        return (one.maildir, one.uid, one.gid) == (two.maildir, two.uid, two.gid)

    def acting(self) -> acting:
        """Act as the mail's owner inside (identity.py). MailError(TEMPORARY) where we may not.

        Every method that touches the Maildir does so itself.
        """
        return self._owner.acting()

    @property
    def maildir(self) -> Path:
        """The Maildir, which is INBOX."""
        return self.account.maildir

    def read_cached(self, folder: FolderName, path: bytes) -> bytes | None:
        """Return a small file of a folder if the kernel holds it in memory. Never blocks.

        For the event loop's thread; `path` is relative to the folder. None: ask the disk.
        """
        if self._below_root is None:
            return None
        place = self._below_root if folder == INBOX else self._below_root + _directory(folder)
        files = self.store.cached_files
        if not self._owner.served or not files.is_open():
            return None
        if self.identity is None:
            return files.read(place + path)
        with acting(self.identity):
            return files.read(place + path)

    @property
    def handles(self) -> HandleCache:
        """The open directories of the process."""
        return self.store.handles

    # -- the Maildir -------------------------------------------------------------------------

    def ensure(self) -> None:
        """Make the Maildir and the special-use folders if there is none.

        TEMPORARY where the mail volume is not there: an empty mount point takes no mail.
        """
        with _temporary(), self.acting():
            if _is_directory(self.maildir / "cur"):
                return
            self._make_home()
            with layout.opened(self.maildir.parent) as parent:
                name = self.maildir.name
                if not _is_directory(self.maildir):
                    layout.make_directory(parent, name)
                    # Before the Maildir's own `cur`, which says that the account is complete.
                    with layout.opened(name, parent) as root:
                        layout.make_directory(root, "tmp")
                        for special in SPECIAL_USES:
                            layout.make_maildir(root, layout.disk_name(special))
                        subscriptions.subscribe(root, [INBOX, *SPECIAL_USES])
                layout.make_maildir(parent, name)

    def _make_home(self) -> None:
        """Make the directory that the Maildir lies in: the home as the server, the rest as owner.

        OSError, MailError(TEMPORARY).
        """
        volume = self.store.volumes.of(self.maildir)
        with acting(None):
            check_volume(volume)
        parent, home = self.maildir.parent, self.account.home
        if home == parent or home not in parent.parents:
            layout.make_parents(parent, volume, self.identity)
        else:
            layout.make_parents(home, volume, self.identity)
            layout.make_parents(parent, home, self.identity)

    @contextmanager
    def _root(self) -> Iterator[int]:
        """The Maildir's directory; made when it is missing. OSError becomes MailError."""
        with _temporary(), self.acting():
            try:
                root = layout.open_directory(self.maildir)
            except FileNotFoundError:
                self.ensure()
                root = layout.open_directory(self.maildir)
            try:
                yield root
            finally:
                os.close(root)

    # -- folders -----------------------------------------------------------------------------

    def folders(self) -> list[FolderEntry]:
        """List all folders, INBOX first, then by name; with parents that are names only."""
        with self._root() as root:
            names = layout.list_folders(root)
            subscribed = set(subscriptions.subscriptions(root))
            uses = SPECIAL_USES | subscriptions.special_uses(root)
        everything = {name[:depth] for name in names for depth in range(1, len(name) + 1)}
        return [
            FolderEntry(name, uses.get(name) or None, name in subscribed, name not in names)
            for name in [INBOX, *sorted(everything)]
        ]

    def exists(self, name: FolderName) -> bool:
        """Tell whether a folder can be selected."""
        with self._root() as root:
            return name in layout.list_folders(root)

    def create(self, name: FolderName, *, special_use: str | None = None) -> None:
        """Make a folder. ALREADY_EXISTS, CANNOT (INBOX)."""
        if name == INBOX:
            raise MailError(ErrorKind.ALREADY_EXISTS, "INBOX exists")
        with self._root() as root:
            if name in layout.list_folders(root):
                raise MailError(ErrorKind.ALREADY_EXISTS, "folder exists")
            # A name may exist as a directory that is no folder (half made): then it becomes one.
            if not layout.make_maildir(root, layout.disk_name(name)):
                raise MailError(ErrorKind.ALREADY_EXISTS, "folder exists")
            self._note_use(root, name, special_use)

    def set_special_use(self, name: FolderName, special_use: str | None) -> None:
        """Say what a folder is for; None: nothing, whatever its name tells."""
        with self._root() as root:
            subscriptions.change_special_uses(root, lambda uses: {**uses, name: special_use or ""})

    def _note_use(self, root: int, name: FolderName, special_use: str | None) -> None:
        """A new folder has the given use; an old note about its name is void."""
        known = subscriptions.special_uses(root)
        if special_use is None and name not in known:
            return

        def change(uses: dict[FolderName, str]) -> dict[FolderName, str]:
            rest = {other: use for other, use in uses.items() if other != name}
            return rest if special_use is None else {**rest, name: special_use}

        subscriptions.change_special_uses(root, change)

    def delete(self, name: FolderName) -> None:
        """Remove a folder and its messages; its children stay. NO_SUCH_FOLDER, CANNOT (INBOX)."""
        if name == INBOX:
            raise MailError(ErrorKind.CANNOT, "INBOX cannot be deleted")
        with self._root() as root:
            directory = layout.find_folder(root, name)
            size, count = 0, 0
            if self.account.quota and name != maildirsize.TRASH:
                with layout.opened(directory, root) as folder:
                    counted = maildirsize.count_folder(folder)
                size, count = counted.bytes, counted.messages
            grave = f"{unique_name()}.deleted"
            with layout.opened("tmp", root) as tmp:
                try:
                    os.rename(directory, grave, src_dir_fd=root, dst_dir_fd=tmp)
                except FileNotFoundError:
                    raise MailError(ErrorKind.NO_SUCH_FOLDER, "no such folder") from None
                self._forget()
                os.fsync(root)
                os.fsync(tmp)
                if subscriptions.special_uses(root).get(name) is not None:
                    self._note_use(root, name, None)
                if count:
                    maildirsize.add(root, -size, -count)
                # What cannot be removed now (a file that another host has open) goes with the
                # cleaning of tmp/.
                shutil.rmtree(grave, ignore_errors=True, dir_fd=tmp)
        self.publish(name)

    def rename(self, old: FolderName, new: FolderName) -> None:
        """Rename a folder and its children. RFC 3501 section 6.3.5.

        INBOX: its messages move to the new folder, it stays. NO_SUCH_FOLDER, ALREADY_EXISTS,
        CANNOT (into itself).
        """
        if new == INBOX:
            raise MailError(ErrorKind.ALREADY_EXISTS, "INBOX exists")
        if old == INBOX:
            self._rename_inbox(new)
            return
        if new[: len(old)] == old:
            kind = ErrorKind.ALREADY_EXISTS if new == old else ErrorKind.CANNOT
            raise MailError(kind, "a folder cannot become its own child")
        with self._root() as root:
            names = layout.list_folders(root)
            moves = [
                (directory, (*new, *name[len(old) :]), name)
                for name, directory in names.items()
                if name[: len(old)] == old
            ]
            if not moves:
                raise MailError(ErrorKind.NO_SUCH_FOLDER, "no such folder")
            for _, target, _name in moves:
                if target in names:
                    raise MailError(ErrorKind.ALREADY_EXISTS, "folder exists")
                if len(os.fsencode(layout.disk_name(target))) > layout.MAX_NAME:
                    raise MailError(ErrorKind.CANNOT, "folder name is too long")
            for directory, target, _name in moves:
                self._rename_directory(root, directory, layout.disk_name(target))
            os.fsync(root)
            renamed = {name: target for _, target, name in moves}
            if renamed.keys() & subscriptions.special_uses(root).keys():
                subscriptions.change_special_uses(
                    root,
                    lambda uses: {renamed.get(name, name): use for name, use in uses.items()},
                )
            crosses_trash = maildirsize.TRASH in renamed or maildirsize.TRASH in renamed.values()
            if self.account.quota and crosses_trash:
                maildirsize.recalculate(root, self.account.quota)
        for name, target in renamed.items():
            self.publish(name)
            self.publish(target)

    def _rename_directory(self, root: int, directory: str, target: str) -> None:
        try:
            os.rename(directory, target, src_dir_fd=root, dst_dir_fd=root)
        except FileNotFoundError:
            raise MailError(ErrorKind.NO_SUCH_FOLDER, "no such folder") from None
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise MailError(ErrorKind.ALREADY_EXISTS, "folder exists") from None
            raise
        finally:
            self._forget()

    def _rename_inbox(self, new: FolderName) -> None:
        self.create(new)
        source = self.open_mailbox(INBOX)
        try:
            target = self.open_mailbox(new)
            try:
                source.refresh()
                source.move(list(source.uids), target)
            finally:
                target.release()
        finally:
            source.release()

    # -- subscriptions -----------------------------------------------------------------------

    def subscriptions(self) -> list[FolderName]:
        """Return the subscribed folders, whether they exist or not."""
        with self._root() as root:
            return subscriptions.subscriptions(root)

    def subscribe(self, name: FolderName) -> None:
        """Subscribe to a folder, whether it exists or not."""
        with self._root() as root:
            subscriptions.subscribe(root, [name])

    def unsubscribe(self, name: FolderName) -> None:
        """End a subscription; harmless where there is none."""
        with self._root() as root:
            subscriptions.unsubscribe(root, name)

    # -- quota -------------------------------------------------------------------------------

    def quota(self) -> QuotaState:
        """Return the limit and what is used."""
        limit = self.account.quota
        with self._root() as root:
            if not limit:
                maildirsize.remove(root)
                return QuotaState(limit, 0, 0)
            used = maildirsize.usage(root, limit)
        return QuotaState(limit, used.bytes, used.messages)

    def check_quota(
        self,
        size: int,
        count: int,
        *,
        folder: FolderName,
        flags: Flag = NO_FLAGS,
        handle: FolderHandle | None = None,
    ) -> None:
        """Pass where messages of `size` bytes on disk in all may come into the folder. OVER_QUOTA.

        `handle`: the folder's, where the caller has it.
        """
        limit = self.account.quota
        if not limit or not maildirsize.is_counted(folder, flags):
            return
        with self._quota_root(folder, handle) as root:
            fits = maildirsize.check(root, limit, size, count)
        if not fits:
            QUOTA_REFUSALS.inc(count)
            raise MailError(ErrorKind.OVER_QUOTA, "mailbox is full")

    def charge(
        self,
        size: int,
        count: int,
        *,
        folder: FolderName,
        flags: Flag = NO_FLAGS,
        handle: FolderHandle | None = None,
    ) -> None:
        """Count messages that came into the folder with these flags; negative: that left it.

        A message that gains or loses the T flag leaves or comes (`flags` as it was counted).
        """
        if not self.account.quota or not maildirsize.is_counted(folder, flags):
            return
        with self._quota_root(folder, handle) as root:
            maildirsize.add(root, size, count)

    @contextmanager
    def _quota_root(self, folder: FolderName, handle: FolderHandle | None) -> Iterator[int]:
        if handle is not None and folder == INBOX:
            with self.acting():
                yield handle.folder
        else:
            with self._root() as root:
                yield root

    # -- directories for deliveries ----------------------------------------------------------

    def acquire(self, folder: FolderName) -> FolderHandle:
        """Return the folder's open directories, to be given back to `handles`.

        A Maildir that is missing is made (`ensure`); a folder that lacks tmp or new is completed.
        """
        with self.acting():
            try:
                return self.handles.acquire(self.maildir, folder, self.identity)
            except MailError as error:
                if error.kind is not ErrorKind.NO_SUCH_FOLDER or folder != INBOX:
                    raise
                self.ensure()
            except FileNotFoundError:
                self._complete(folder)
            except OSError as error:
                raise mail_error(error) from error
            with _temporary():
                return self.handles.acquire(self.maildir, folder, self.identity)

    def _complete(self, folder: FolderName) -> None:
        with self._root() as root:
            layout.make_maildir(root, layout.find_folder(root, folder))

    def publish(self, folder: FolderName) -> None:
        """Hint the other processes that a folder has changed. Never blocks, never raises."""
        self.store.hints.publish(self.maildir, folder)

    # -- mailboxes ---------------------------------------------------------------------------

    def open_mailbox(self, name: FolderName) -> Mailbox:
        """Return the folder's shared state, to be given back by its `release`. NO_SUCH_FOLDER.

        It may be as old as its last user; `refresh` brings it up to date.
        """
        with self._root():  # makes a Maildir that is missing
            fd = layout.open_folder(self.maildir, name)
        try:
            key = self._key(name, fd)
        finally:
            os.close(fd)
        return self.store.mailboxes.acquire(key, lambda: Mailbox.open(self, name))

    def open_unmoved(self, name: FolderName) -> Mailbox | None:
        """Return a folder's shared state if the process has it and nothing has moved since.

        Never blocks: None means that only `open_mailbox` and `refresh` can tell. For the event
        loop's thread; given back by `release`.
        """
        if self._below_root is None:
            return None
        place = self._below_root if name == INBOX else self._below_root + _directory(name)
        files = self.store.cached_files
        if not self._owner.served or not files.is_open():
            return None
        with acting(self.identity):
            folder = files.open_directory(place)
            if folder < 0:
                return None
            try:
                return self.store.mailboxes.acquire_if(
                    self._key(name, folder), lambda found: found.is_unmoved(folder)
                )
            finally:
                os.close(folder)

    def _key(self, name: FolderName, folder: int) -> tuple[object, ...]:
        """What sessions must agree in to share a folder that is open: its owner, too.

        Else an account whose Maildir is another's would be shown what that one's sessions read.
        """
        status = os.fstat(folder)
        return self.maildir, name, status.st_dev, status.st_ino, self.identity

    def _forget(self) -> None:
        """Folders were renamed or deleted: what is open of this account leads elsewhere now."""
        self.handles.forget(self.maildir)
        self.store.mailboxes.forget(
            lambda key: isinstance(key, tuple) and key[0] == self.maildir and key[1] != INBOX
        )

    def mailbox_released(self, mailbox: Mailbox) -> None:
        """A user of a shared mailbox is done (Mailbox.release)."""
        self.store.mailboxes.release(mailbox)

    def status(self, name: FolderName) -> MailboxStatus:
        """Return the counts of a folder as they are now."""
        mailbox = self.open_mailbox(name)
        try:
            mailbox.refresh()
            columns = mailbox.columns
            return MailboxStatus(
                messages=len(columns.uids),
                recent=mailbox.recent,
                unseen=columns.flags.tobytes().translate(_UNSEEN).count(1),
                uidnext=mailbox.uidnext,
                uidvalidity=mailbox.uidvalidity,
                highest_modseq=mailbox.highest_modseq,
                size=sum(columns.wire_sizes),
            )
        finally:
            mailbox.release()


@contextmanager
def _temporary() -> Iterator[None]:
    """Turn an OSError into what may be told to the peer."""
    try:
        yield
    except OSError as error:
        raise mail_error(error) from error


def _is_directory(path: Path) -> bool:
    """Like Path.is_dir, but an error of the volume is an error and not an absence."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _relative(maildir: Path, root: Path) -> bytes | None:
    """Return "<path below the root>/", or None where it is not below."""
    try:
        return os.fsencode(maildir.relative_to(root)) + b"/"
    except ValueError:
        return None


def _directory(folder: FolderName) -> bytes:
    return os.fsencode(layout.disk_name(folder)) + b"/"
