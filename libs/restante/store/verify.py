"""Looking at an account's files: does everything agree, and can it be mended?

Nothing is changed unless `repair`. Then only what cannot lose anything is done: indexes are read
and brought up to date as by any session, counts are counted anew, owner and mode of our own files
are set right, directories that a folder lacks are made. Messages are never removed or renamed.

Without `repair` no lock is taken: an account that is in use may show differences that its next
refresh settles, such as new mail without a UID; those are notes, not errors.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from restante.model import FolderName, MailError
from restante.store import layout, maildirsize, records
from restante.store.accountfile import NAME as ACCOUNT_FILE
from restante.store.accountfile import account_file
from restante.store.faults import as_mail_error
from restante.store.index import Index, Replay
from restante.store.journal import NAME as INDEX
from restante.store.mailbox import Mailbox
from restante.store.records import HEADER_BYTES, Header
from restante.store.scan import list_directory, measure, number_after, split
from restante.store.tmpfiles import MAX_AGE

if TYPE_CHECKING:
    from restante.store.account import AccountStore

_MAX_INDEX: Final = 1 << 31


class Grade(Enum):
    """How bad it is."""

    ERROR = "error"  # something is lost, or cannot be read
    WARNING = "warning"  # works, and should not be so
    NOTE = "note"


@dataclass(slots=True)
class Flaw:
    """One thing that is not as it should be."""

    grade: Grade
    folder: FolderName | None  # None: of the account
    text: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at."""

    folders: int
    messages: int
    bytes: int
    flaws: list[Flaw]

    @property
    def errors(self) -> int:
        """Flaws that count against the exit code."""
        return sum(f.grade is not Grade.NOTE and not f.repaired for f in self.flaws)


def verify(account: "AccountStore", *, deep: bool = False, repair: bool = False) -> Verified:
    """Look at everything. BLOCKING; MailError where the Maildir cannot be opened.

    deep: read every message too. repair: mend what is safe.
    """
    try:
        with account.acting(), layout.opened(account.maildir) as root:
            return _Verifier(account, root, deep, repair).run()
    except OSError as error:
        raise as_mail_error(error) from error


class _Verifier:
    def __init__(self, account: "AccountStore", root: int, deep: bool, repair: bool) -> None:
        self._account, self._root, self._deep, self._repair = account, root, deep, repair
        self._flaws: list[Flaw] = []
        self._messages = self._bytes = 0
        self._highest = 0

    def run(self) -> Verified:
        names = layout.list_folders(self._root)
        for name, directory in names.items():
            with layout.opened(directory, self._root) as folder:
                self._folder(name, folder)
        self._strays(set(names.values()))
        self._mark()
        self._quota()
        return Verified(len(names), self._messages, self._bytes, self._flaws)

    def _tell(self, grade: Grade, folder: FolderName | None, text: str) -> Flaw:
        flaw = Flaw(grade, folder, text)
        self._flaws.append(flaw)
        return flaw

    # --- one folder ---------------------------------------------------------------------------

    def _folder(self, name: FolderName, folder: int) -> None:
        if not self._directories(name, folder):
            return
        self._owner(name, folder)
        self._tmp(name, folder)
        files = self._files(name, folder)
        index = self._index(name, folder)
        unknown, lost = self._compare(index, files)
        damaged = index is None
        if not damaged and not unknown and not lost:
            return
        flaws = []
        if lost:
            text = f"{lost} messages of the index have no file"
            flaws.append(self._tell(Grade.WARNING, name, text))
        if unknown:
            text = f"{unknown} messages have no UID yet"
            flaws.append(self._tell(Grade.NOTE, name, text))
        if self._repair:
            self._refresh(name, flaws)

    def _directories(self, name: FolderName, folder: int) -> bool:
        lacking = []
        for part in layout.SUBDIRECTORIES:
            try:
                mode = os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode
            except FileNotFoundError:
                lacking.append(part)
                continue
            if not stat.S_ISDIR(mode):
                self._tell(Grade.ERROR, name, f"{part} is not a directory")
                return False
        if lacking:
            flaw = self._tell(Grade.ERROR, name, f"there is no {' and no '.join(lacking)}")
            if not self._repair:
                return False
            for part in lacking:
                layout.make_directory(folder, part)
            os.fsync(folder)
            flaw.repaired = True
        return True

    def _owner(self, name: FolderName, folder: int) -> None:
        account = self._account.account
        for entry in (".", *layout.SUBDIRECTORIES, INDEX):
            try:
                status = os.stat(entry, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            what = "the folder" if entry == "." else entry
            if (status.st_uid, status.st_gid) != (account.uid, account.gid):
                text = f"{what} belongs to {status.st_uid}:{status.st_gid}"
                wanted = f"not to {account.uid}:{account.gid}"
                self._tell(Grade.WARNING, name, f"{text}, {wanted}")
            if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
                flaw = self._tell(Grade.WARNING, name, f"everybody may write to {what}")
                if self._repair:
                    mode = stat.S_IMODE(status.st_mode) & ~0o002
                    os.chmod(entry, mode, dir_fd=folder)
                    flaw.repaired = True

    def _tmp(self, name: FolderName, folder: int) -> None:
        old = 0
        with layout.opened("tmp", folder) as tmp:
            now = os.fstat(tmp).st_atime
            for entry in os.listdir(tmp):
                with suppress(FileNotFoundError):
                    status = os.stat(entry, dir_fd=tmp, follow_symlinks=False)
                    old += max(status.st_mtime, status.st_atime) < now - MAX_AGE
        if old:
            text = f"{old} old files in tmp/; the next deliveries remove them"
            self._tell(Grade.NOTE, name, text)

    def _files(self, name: FolderName, folder: int) -> dict[bytes, str]:
        """Look at the files themselves; returns where each base name is."""
        found: dict[bytes, str] = {}
        foreign = 0
        for directory in ("new", "cur"):
            for entry in list_directory(folder, directory):
                base = split(entry)[0]
                path = os.path.join(directory.encode(), entry)
                try:
                    status = os.stat(path, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                shown = os.fsdecode(path)
                if not stat.S_ISREG(status.st_mode):
                    self._tell(Grade.WARNING, name, f"{shown} is not a file")
                    continue
                if base in found:
                    self._tell(Grade.WARNING, name, f"{shown} and a file in {found[base]}/")
                found[base] = directory
                foreign += status.st_uid != self._account.account.uid
                self._messages += 1
                self._bytes += status.st_size
                for flaw in self._sizes(folder, path, base, status.st_size):
                    self._tell(Grade.ERROR, name, f"{shown}: {flaw}")
        if foreign:
            text = f"{foreign} messages belong to another uid than {self._account.account.uid}"
            self._tell(Grade.WARNING, name, text)
        return found

    def _sizes(self, folder: int, path: bytes, base: bytes, size: int) -> Iterator[str]:
        said = number_after(base, b",S=")
        if not size:
            yield "is empty"
        elif said >= 0 and said != size:
            yield f"has {size} bytes, its name says {said}"
        elif self._deep:
            try:
                wire = measure(folder, path)
            except OSError as error:
                yield f"cannot be read ({error.strerror})"
                return
            said = number_after(base, b",W=")
            if said >= 0 and said != wire:
                yield f"has {wire} bytes with CRLF, its name says {said}"

    def _index(self, name: FolderName, folder: int) -> Index | None:
        """Read the journal as it is; None where there is none or it is damaged."""
        data = memoryview(layout.read_plain(folder, INDEX, _MAX_INDEX) or b"")
        if not data:
            self._tell(Grade.NOTE, name, f"there is no {INDEX} yet")
            return None
        header = Header.decode(bytes(data[:HEADER_BYTES]))
        end = HEADER_BYTES
        index = Index(header.uidvalidity if header else 0)
        replay = Replay(index)
        for record in records.records(data, HEADER_BYTES):
            replay.apply(record)
            end = record.end
        replay.finish()
        self._highest = max(self._highest, index.uidvalidity)
        if header is None or end < len(data):
            place = "its header" if header is None else f"byte {end} of {len(data)}"
            flaw = self._tell(Grade.ERROR, name, f"{INDEX} is damaged at {place}")
            if self._repair:
                self._refresh(name, [flaw])
            return None
        return index

    @staticmethod
    def _compare(index: Index | None, files: dict[bytes, str]) -> tuple[int, int]:
        """Return how many files have no UID, and how many UIDs no file."""
        if index is None:
            return len(files), 0
        known = set(index.columns.bases())
        return len(files.keys() - known), len(known - files.keys())

    def _refresh(self, name: FolderName, flaws: list[Flaw]) -> None:
        mailbox = Mailbox(self._account, name)
        try:
            mailbox.refresh(scan=True)
        except MailError as error:
            self._tell(Grade.ERROR, name, error.text)
            return
        finally:
            mailbox.close()
        for flaw in flaws:
            flaw.repaired = True

    # --- the account --------------------------------------------------------------------------

    def _strays(self, folders: set[str]) -> None:
        with os.scandir(self._root) as entries:
            for entry in entries:
                if entry.is_symlink():
                    self._tell(Grade.WARNING, None, f"{entry.name} is a symbolic link")
                elif not entry.is_dir() or entry.name in layout.SUBDIRECTORIES:
                    continue
                elif entry.name.startswith(".") and entry.name not in folders:
                    text = f"{entry.name} has no cur/, so it is no folder"
                    self._tell(Grade.WARNING, None, text)

    def _mark(self) -> None:
        """The high-water mark of UIDVALIDITY must not be below any folder's."""
        if not self._highest:
            return
        try:
            os.stat(ACCOUNT_FILE, dir_fd=self._root, follow_symlinks=False)
            with account_file(self._root) as file:
                if file.highest() >= self._highest:
                    return
        except FileNotFoundError:
            pass
        flaw = self._tell(Grade.WARNING, None, f"{ACCOUNT_FILE} is behind its folders' UIDVALIDITY")
        if self._repair:
            with account_file(self._root) as file:
                file.note_uidvalidity(self._highest)
            flaw.repaired = True

    def _quota(self) -> None:
        limit = self._account.account.quota
        if not limit:
            return
        said = maildirsize.peek(self._root)
        counted = maildirsize.count(self._root)
        if said is None or said == counted:
            return
        text = (
            f"maildirsize says {said.bytes} bytes in {said.messages} messages, "
            f"there are {counted.bytes} in {counted.messages}"
        )
        flaw = self._tell(Grade.WARNING, None, text)
        if self._repair:
            maildirsize.recalculate(self._root, limit)
            flaw.repaired = True
