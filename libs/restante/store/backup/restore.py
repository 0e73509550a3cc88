"""Putting back what is missing: nothing that is there is touched, and nothing is there twice.

A message comes back with flags, keywords, internal date and base name (so with its POP3 UIDL),
under a new UID: the old one was announced as expunged. Only a folder that never had a message, as
after the loss of the account, may go on with its old numbers (`keep_uids`): then its UIDNEXT is far
above the saved one, since clients may know UIDs that were given out after the backup (numbers.py).

Order, so that a crash between any two calls is mended by running it again:
1. complete, synced files in tmp/ of the folder (no lock);
2. under the folder's lock: the records, with the mark that cur/ must be listed, synced;
3. the files are renamed into cur/, which is synced; the lock is given back.
The other way round a crash would leave messages without their keywords, and the next run could not
tell. As it is, a crash after 2 leaves records without files: the next turn of any process lists
cur/ and expunges them, and the next run puts the messages back. What a crash leaves in tmp/ goes
with the usual cleaning.

The quota is asked before anything is written, unless `over_quota`.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from restante.model import INBOX, ErrorKind, Flag, FolderName, MailError
from restante.store import durable, maildirsize, records, subscriptions
from restante.store.accountfile import note_uidvalidity
from restante.store.backup.frozen import Freezer, Frozen
from restante.store.backup.missing import missing
from restante.store.backup.numbers import continue_numbers
from restante.store.backup.packs import PackReader
from restante.store.backup.place import AccountPlace, Manifest, Row, SavedFolder
from restante.store.faults import as_mail_error
from restante.store.index import LETTERS
from restante.store.layout import opened
from restante.store.maildirsize import is_counted
from restante.store.names import renewed, unique_name, with_sizes
from restante.store.reconcile import reconcile
from restante.store.records import Added, Kind
from restante.store.transaction import Transaction

if TYPE_CHECKING:
    from restante.store.account import AccountStore
    from restante.store.mailbox import Mailbox

_BATCH: Final = 500  # messages that come in one turn
_WRITERS: Final = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    folder: FolderName | None = None  # only this one
    into: FolderName | None = None  # all messages come here
    since: int | None = None  # internal date, unix seconds
    dry_run: bool = False
    over_quota: bool = False
    keep_uids: bool = False


@dataclass(slots=True)
class Restored:
    """What a restore did, or with `dry_run` would do."""

    run: str
    saved: int = 0  # messages of the backup that were asked for
    restored: int = 0
    bytes: int = 0
    damaged: int = 0  # messages that the backup has no more
    folders: dict[FolderName, int] = field(default_factory=dict)  # messages restored
    made: list[FolderName] = field(default_factory=list)


def restore(account: "AccountStore", place: AccountPlace, run: str, wanted: Wanted) -> Restored:
    """Put back what the account lacks. BLOCKING.

    MailError: NO_SUCH_FOLDER (in the backup), OVER_QUOTA (nothing was done), CORRUPT, TEMPORARY.
    """
    manifest = place.read(run)
    chosen = _chosen(manifest, wanted)
    result = Restored(run, sum(len(folder.rows) for folder in chosen))
    there = _is_there(account)
    if not there and not wanted.dry_run:
        account.ensure()
        if wanted.folder is None and wanted.into is None:
            _subscribe(account, manifest.subscriptions)
    if not wanted.dry_run:
        _note_uidvalidity(account, manifest)
    if there or not wanted.dry_run:
        with closing(Freezer(account)) as freezer:
            with freezer.frozen() as now:
                pass
            try:
                with account.acting():
                    lacking = _lacking(manifest, chosen, now, wanted.into)
            except OSError as error:
                raise as_mail_error(error) from error
    else:
        now, lacking = Frozen(), {folder.name: folder.rows for folder in chosen if folder.rows}
    targets = _targets(chosen, lacking, wanted, now)
    if not wanted.over_quota:
        _check_quota(account, targets)
    present = {folder.name for folder in now.folders}
    result.made = [target.name for target in targets if target.name not in present]
    if wanted.dry_run:
        for target in targets:
            result.folders[target.name] = len(target.rows)
            result.restored += len(target.rows)
            result.bytes += sum(row.size for row in target.rows)
        return result
    with PackReader(place) as packs:
        packs.open({row.pack for target in targets for row in target.rows})
        for target in targets:
            _Folder(account, target, packs, result, keep_uids=wanted.keep_uids).run()
    return result


def _note_uidvalidity(account: "AccountStore", manifest: Manifest) -> None:
    """Keep new UIDVALIDITYs above those of a backup. MailError."""
    highest = max((folder.uidvalidity for folder in manifest.folders), default=0)
    with account.acting():
        note_uidvalidity(account.maildir, max(highest, manifest.uidvalidity_mark))


def _is_there(account: "AccountStore") -> bool:
    try:
        with account.acting():
            os.stat(account.maildir / "cur")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise as_mail_error(error) from error
    return True


def _chosen(manifest: Manifest, wanted: Wanted) -> list[SavedFolder]:
    folders = manifest.folders
    if wanted.folder is not None:
        # A folder with its children, as it was deleted.
        depth = len(wanted.folder)
        folders = [
            folder
            for folder in folders
            if folder.name == wanted.folder or (depth and folder.name[:depth] == wanted.folder)
        ]
        if not folders:
            raise MailError(ErrorKind.NO_SUCH_FOLDER, "the backup has no such folder")
    if wanted.since is None:
        return folders
    since = wanted.since
    return [
        replace(folder, rows=[row for row in folder.rows if row.date >= since])
        for folder in folders
    ]


def _lacking(
    manifest: Manifest, chosen: list[SavedFolder], now: Frozen, into: FolderName | None
) -> dict[FolderName, list[Row]]:
    """Return the messages that are missing, by folder. OSError.

    All of the backup is matched, and then what was chosen: else a message of INBOX would answer for
    its copy in the folder that is asked for.
    """
    if into is not None:
        return missing(chosen, now, into)
    found = missing(manifest.folders, now, None)
    lacking = {}
    for folder in chosen:
        asked = {row.uid for row in folder.rows}
        rows = [row for row in found.get(folder.name, ()) if row.uid in asked]
        if rows:
            lacking[folder.name] = rows
    return lacking


def _targets(
    chosen: list[SavedFolder],
    lacking: dict[FolderName, list[Row]],
    wanted: Wanted,
    now: Frozen,
) -> list[SavedFolder]:
    """Return the folders that get messages, or have to be made, with the messages they get."""
    if wanted.into is not None:
        rows = [row for folder in chosen for row in lacking.get(folder.name, ())]
        return [SavedFolder(wanted.into, 0, 0, 0, (), subscribed=True, rows=rows)] if rows else []
    present = {folder.name for folder in now.folders}
    return [
        replace(folder, rows=lacking.get(folder.name, []))
        for folder in chosen
        if folder.name in lacking or (folder.name not in present and folder.name != INBOX)
    ]


def _check_quota(account: "AccountStore", targets: list[SavedFolder]) -> None:
    counted = [
        row for target in targets for row in target.rows if is_counted(target.name, Flag(row.flags))
    ]
    if counted and _is_there(account):
        size = sum(row.size for row in counted)
        account.check_quota(size, len(counted), folder=INBOX)
    elif counted:
        used = maildirsize.Usage(sum(row.size for row in counted), len(counted))
        if not used.fits(account.account.quota, 0, 0):
            raise MailError(ErrorKind.OVER_QUOTA, "the backup is larger than the quota")


def _subscribe(account: "AccountStore", names: Iterable[FolderName]) -> None:
    try:
        with account.acting(), opened(account.maildir) as root:
            subscriptions.subscribe(root, names)
    except OSError as error:
        raise as_mail_error(error) from error


class _Folder:
    """The restore of one folder."""

    def __init__(
        self,
        account: "AccountStore",
        target: SavedFolder,
        packs: PackReader,
        result: Restored,
        *,
        keep_uids: bool,
    ) -> None:
        self._account, self._target, self._packs = account, target, packs
        self._result, self._keep_uids = result, keep_uids

    def run(self) -> None:
        """Make the folder where it is not, and bring the messages in, batch by batch."""
        target = self._target
        self._make()
        mailbox = self._account.open_mailbox(target.name)
        try:
            keep = self._keep_uids and target.uidvalidity > 0 and self._is_unused(mailbox)
            batch = max(1, len(target.rows)) if keep else _BATCH
            for first in range(0, len(target.rows), batch):
                self._bring(mailbox, target.rows[first : first + batch], keep=keep)
            if keep and not target.rows:
                self._bring(mailbox, [], keep=True)
            mailbox.publish()
        finally:
            mailbox.release()

    def _make(self) -> None:
        target = self._target
        if target.name == INBOX or self._account.exists(target.name):
            return
        with suppress(MailError):  # ALREADY_EXISTS: somebody was faster
            self._account.create(target.name, special_use=target.special_use or None)
        if target.subscribed:
            self._account.subscribe(target.name)

    @staticmethod
    def _is_unused(mailbox: "Mailbox") -> bool:
        return mailbox.uidnext == 1 and not len(mailbox)

    def _bring(self, mailbox: "Mailbox", rows: list[Row], *, keep: bool) -> None:
        try:
            with ExitStack() as stack:
                stack.enter_context(self._account.acting())
                folder = mailbox.open_folder()
                stack.callback(os.close, folder)
                tmp = stack.enter_context(opened("tmp", folder))
                written = self._write_all(tmp, rows)
                try:
                    placed = self._place(mailbox, tmp, written, keep=keep)
                finally:
                    for name, _ in written:  # those that were renamed are not there any more
                        durable.discard(tmp, name)
        except OSError as error:
            raise as_mail_error(error) from error
        counted = [row for row in placed if is_counted(mailbox.name, Flag(row.flags))]
        if counted:
            size = sum(row.size for row in counted)
            self._account.charge(size, len(counted), folder=mailbox.name)
        self._result.restored += len(placed)
        self._result.bytes += sum(row.size for row in placed)
        done = self._result.folders
        done[mailbox.name] = done.get(mailbox.name, 0) + len(placed)

    # --- files in tmp/ ------------------------------------------------------------------------

    def _write_all(self, tmp: int, rows: list[Row]) -> list[tuple[str, Row]]:
        """Write complete files; what the backup has only damaged is counted and left out."""
        with ThreadPoolExecutor(_WRITERS) as pool:
            jobs = [pool.submit(self._write, tmp, row) for row in rows]
        names = [job.result() for job in jobs if job.exception() is None]
        failed = next((error for job in jobs if (error := job.exception()) is not None), None)
        if failed is not None:
            for name in names:
                if name is not None:
                    durable.discard(tmp, name)
            raise failed
        self._result.damaged += names.count(None)
        return [(name, row) for name, row in zip(names, rows, strict=True) if name is not None]

    def _write(self, tmp: int, row: Row) -> str | None:
        with self._account.acting():
            fd, name = durable.create(tmp, unique_name())
            try:
                try:
                    for piece in self._packs.chunks(row):
                        durable.write_all(fd, piece)
                except BaseException:
                    os.close(fd)
                    raise
                durable.seal(fd, row.date)
            except MailError as error:
                durable.discard(tmp, name)
                if error.kind is not ErrorKind.CORRUPT:
                    raise
                return None
            except BaseException:
                durable.discard(tmp, name)
                raise
            return name

    # --- the turn -----------------------------------------------------------------------------

    def _place(
        self, mailbox: "Mailbox", tmp: int, written: list[tuple[str, Row]], *, keep: bool
    ) -> list[Row]:
        """Give them UIDs and rename them into cur/; returns those that are there."""
        with mailbox.turn() as turn:
            reconcile(turn)
            keep = keep and turn.uidnext == 1 and not len(turn.index.columns)
            if keep:
                continue_numbers(turn, self._target)
            names = self._record(turn, [row for _, row in written], keep=keep)
            gone: list[int] = []
            placed: list[Row] = []
            with opened("cur", turn.folder) as cur:
                for (temporary, row), (uid, filename) in zip(written, names, strict=True):
                    try:
                        os.rename(temporary, filename, src_dir_fd=tmp, dst_dir_fd=cur)
                        placed.append(row)
                    except OSError:
                        gone.append(uid)
                os.fsync(cur)
            if gone:
                turn.expunge(gone)
                turn.commit()
                text = f"{len(gone)} messages could not be moved into place"
                raise MailError(ErrorKind.TEMPORARY, text)
            return placed

    @staticmethod
    def _record(turn: Transaction, rows: list[Row], *, keep: bool) -> list[tuple[int, bytes]]:
        """Append the records of messages that are still in tmp/; returns UIDs and file names."""
        turn.next_modseq()
        names: list[tuple[int, bytes]] = []
        uidls: list[tuple[int, bytes]] = []
        taken: set[bytes] = set()
        known = turn.index.columns.index_bases() if len(rows) > 1 else None
        for row in rows:
            base = row.base
            is_known = base in known if known is not None else turn.index.columns.uid_of_base(base)
            if is_known or base in taken or not _is_name(base):
                base = _another_name(row)
            taken.add(base)
            uid = row.uid if keep else turn.uidnext
            bits = _keyword_bits(turn, row.keywords)
            turn.add(Added(uid, row.flags, bits, row.wire_size, row.date, base))
            if row.uidl:
                uidls.append((uid, row.uidl))
            names.append((uid, base + b":2," + LETTERS[row.flags]))
        if uidls:
            turn.emit(Kind.UIDL, records.pack_texts(uidls))
        turn.new_mtime = turn.cur_mtime = -1  # whoever comes next must list
        turn.commit()
        return names


def _is_name(base: bytes) -> bool:
    """Tell whether a saved base name can be a file's name here."""
    return 0 < len(base) <= 240 and b"/" not in base and b":" not in base and base[:1] != b"."


def _another_name(row: Row) -> bytes:
    """Return a new base name for a message whose own one is taken or of no use."""
    if _is_name(row.base):
        return renewed(row.base)
    return with_sizes(unique_name(), row.size, row.wire_size).encode()


def _keyword_bits(turn: Transaction, keywords: Iterable[str]) -> int:
    mask = 0
    for word in keywords:
        with suppress(MailError):  # a folder holds 64
            mask |= turn.keyword_mask((word,))
    return mask
