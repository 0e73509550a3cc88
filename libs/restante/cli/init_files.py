"""Files that the first start makes: written whole or not at all, and never written over.

A file is written under another name, synced, given to its reader, and renamed into place; then the
directory is synced. Two runs at once are kept apart by a lock on the directory of secrets, so what
is missing here is missing; a crash leaves a temporary file that the next run writes over.

Run as root, each file belongs to the one that reads it and nobody else; run as anybody else, all
belong to that user.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError

MAIL: Final = 5000  # uid and gid of the image, the owner of all mail
POSTGRES: Final = 999  # uid of the image postgres:15-bookworm
REDIS: Final = 999  # uid of the image redis:7-bookworm
GRAFANA: Final = 472  # uid of the image grafana/grafana


@dataclass(frozen=True, slots=True)
class Kept:
    """A file and who may read it."""

    name: str
    uid: int = MAIL
    gid: int = MAIL
    mode: int = 0o400

    def readable(self, status: os.stat_result) -> bool:
        """True where the reader can read a file with this status."""
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o400)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o040)
        return bool(status.st_mode & 0o004)


class Place:
    """A directory of such files. All methods raise MailError(CANNOT), with the path in the text."""

    def __init__(self, directory: Path, made: list[Path]) -> None:
        """`made` gets the path of each file that is written."""
        self.directory = directory
        self._made = made
        self._root = os.geteuid() == 0

    def prepare(self, mode: int) -> None:
        """Make the directory where it is missing; a new or root's own one gets this mode."""
        with _fault("cannot make", self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.directory.stat().st_uid == os.geteuid():
                with suppress(PermissionError):  # a read-only mount is found out when it matters
                    self.directory.chmod(mode)

    def has(self, kept: Kept) -> bool:
        """True where the file is there."""
        with _fault("cannot look at", self.directory / kept.name):
            try:
                os.stat(self.directory / kept.name)
            except FileNotFoundError:
                return False
            return True

    def read(self, kept: Kept) -> bytes:
        """Return what is in the file."""
        path = self.directory / kept.name
        with _fault("cannot read", path):
            return path.read_bytes()

    def write(self, kept: Kept, data: bytes) -> None:
        """Write the file in one step."""
        path = self.directory / kept.name
        temporary = path.with_name(f".{kept.name}.new")
        with _fault("cannot write", path):
            with suppress(FileNotFoundError):
                temporary.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                self._give(file.fileno(), kept)
                os.fsync(file.fileno())
            os.rename(temporary, path)
            sync_directory(self.directory)
        self._made.append(path)

    def check_reader(self, kept: Kept) -> None:
        """Give a file of the operator's to its reader where that one could not read it."""
        path = self.directory / kept.name
        if not self._root or kept.readable(path.stat()):
            return
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._give(handle, kept)
            finally:
                os.close(handle)
        except OSError as error:
            raise MailError(
                ErrorKind.CANNOT,
                f"{path} cannot be read by uid {kept.uid} or gid {kept.gid}, who needs it, and"
                f" cannot be given to them: {error.strerror}",
            ) from None

    def _give(self, handle: int, kept: Kept) -> None:
        os.fchmod(handle, kept.mode)
        if self._root:
            os.fchown(handle, kept.uid, kept.gid)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that know no such thing
            raise
    finally:
        os.close(handle)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Wait until no other first start works here, and keep others out."""
    with _fault("cannot lock", directory):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            os.close(handle)
            raise
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Be this user while in the block, where that can be had.

    Root has no rights on an NFS export with root_squash; the owner of all mail has.
    """
    if os.geteuid() != 0:
        yield
        return
    before = os.getegid()
    os.setegid(gid)
    try:
        os.seteuid(uid)
        try:
            yield
        finally:
            os.seteuid(0)
    finally:
        os.setegid(before)


@contextmanager
def _fault(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MailError(ErrorKind.CANNOT, f"{what} {path}: {error.strerror}") from None
