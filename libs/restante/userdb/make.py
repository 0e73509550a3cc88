"""makeuserdb: the indexed files from the text.

Beside X (a file or a directory) come, each replaced by rename when all is written and synced:
X.dat, Xshadow.dat     GDBM, for Courier's authuserdb, maildrop and our auth service
X.db, Xshadow.db       Berkeley DB (hash), for exim's dbm and dbmnz, where asked for
X.cdb, Xshadow.cdb     cdb, for exim's cdb, where asked for

Passwords are only in the shadow files (0600); the others may be read by all (0644). The shadow
files are renamed first, so that no account is seen before its password. Where we are root the
files get the owner of X.

Invariants: X.lock is held from the first look to the last rename. A name that stands twice ends
it all, and the old files stay as they were.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from restante.model import ErrorKind, MailError
from restante.userdb import berkeley, records, source
from restante.userdb.cdb import CdbWriter
from restante.userdb.gdbm import Gdbm


class Writer(Protocol):
    """A file being made."""

    def insert(self, key: bytes, value: bytes) -> bool:
        """Add a record; False where the key is there already."""

    def close(self) -> None:
        """Write the rest and close."""


class Kind(NamedTuple):
    """A format of index."""

    suffix: str
    create: Callable[[Path, int], Writer]


GDBM: Final = Kind(".dat", lambda path, mode: Gdbm(path, create=mode))
BERKELEY: Final = Kind(berkeley.SUFFIX, berkeley.BerkeleyWriter)
CDB: Final = Kind(".cdb", CdbWriter)


def made_kinds(top: Path) -> list[Kind]:
    """Return the kinds of index that a userdb has by now."""
    kinds = (GDBM, BERKELEY, CDB)
    return [kind for kind in kinds if top.with_name(top.name + kind.suffix).exists()]


def make(top: Path, kinds: Sequence[Kind] = (GDBM,)) -> int:
    """Make the files of all kinds; return the number of records.

    Raises MailError: NOT_FOUND, PERMISSION for a userdb that others may touch, ALREADY_EXISTS for
    a name that stands twice, CANNOT where a library is missing; OSError.
    """
    with locked(top):
        return make_locked(top, kinds)


def make_locked(top: Path, kinds: Sequence[Kind]) -> int:
    """As `make`, for who holds the lock."""
    owner = _check(top, kinds)
    count = 0
    with _Files(top, kinds, owner) as files:
        for line in records.lines_of(top):
            files.add(line)
            count += 1
        files.finish()
    return count


class _Files:
    """All files being made; those that are not finished are removed at the end."""

    def __init__(self, top: Path, kinds: Sequence[Kind], owner: os.stat_result) -> None:
        self._top, self._owner = top, owner
        self._made: list[tuple[Path, Path]] = []  # temporary, final: the shadow files first
        self._public: list[Writer] = []
        self._shadow: list[Writer] = []
        try:
            for name, writers, mode in (
                (f"{top.name}shadow", self._shadow, 0o600),
                (top.name, self._public, 0o644),
            ):
                for kind in kinds:
                    writers.append(self._create(kind, name, mode))
        except BaseException:
            self.__exit__()
            raise

    def _create(self, kind: Kind, name: str, mode: int) -> Writer:
        temporary = self._top.with_name(f"{name}.tmp{kind.suffix}")
        temporary.unlink(missing_ok=True)
        before = os.umask(0o777 & ~mode)
        try:
            writer = kind.create(temporary, mode)
        finally:
            os.umask(before)
        self._made.append((temporary, self._top.with_name(name + kind.suffix)))
        return writer

    def add(self, line: records.Line) -> None:
        """Write a record into the files that have it."""
        for text, writers in ((line.public, self._public), (line.shadow, self._shadow)):
            if text is None:
                continue
            key, value = (part.encode("utf-8", "surrogateescape") for part in (line.name, text))
            for writer in writers:
                if not writer.insert(key, value):
                    raise MailError(
                        ErrorKind.ALREADY_EXISTS, f"{self._top}: {line.name} stands there twice"
                    )

    def finish(self) -> None:
        """Bring all to the disk and put them in place."""
        for writer in (*self._shadow, *self._public):
            writer.close()
        for temporary, _ in self._made:
            handle = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if os.geteuid() == 0:
                    os.fchown(handle, self._owner.st_uid, self._owner.st_gid)
                os.fsync(handle)
            finally:
                os.close(handle)
        for temporary, final in self._made:
            temporary.rename(final)
        sync_directory(self._top.parent)

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *_: object) -> None:
        for writer in (*self._shadow, *self._public):
            with suppress(MailError, OSError):  # of a file that is thrown away
                writer.close()
        for temporary, _final in self._made:
            temporary.unlink(missing_ok=True)


@contextmanager
def locked(top: Path) -> Iterator[None]:
    """Hold the lock of makeuserdb. Raises OSError."""
    path = top.with_name(f"{top.name}.lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError:  # root made it; only NFS asks for writing to lock
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _check(top: Path, kinds: Sequence[Kind]) -> os.stat_result:
    """Refuse what Courier's makeuserdb refuses; return what the owner is taken from."""
    try:
        info = os.lstat(top)
    except FileNotFoundError:
        raise MailError(ErrorKind.NOT_FOUND, f"{top}: not found") from None
    try:
        source.check_private(top, info)
    except PermissionError as error:
        raise MailError(ErrorKind.PERMISSION, f"{top}: {error.strerror}") from error
    for kind in kinds:
        for name in (top.name, f"{top.name}shadow"):
            final = top.with_name(name + kind.suffix)
            if final.is_symlink():
                raise MailError(ErrorKind.PERMISSION, f"{final}: is a symlink")
    return info


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
