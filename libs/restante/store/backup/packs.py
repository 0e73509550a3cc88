"""The tar of a run: written message by message, read by offset.

GNU's tar format, so that names of any length fit; no member is ever changed. The file has the name
`<run>.tar.part` until it is complete and synced.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from restante.model import ErrorKind, MailError
from restante.store.backup.place import (
    AccountPlace,
    Row,
    create_private,
    sync_directory,
    trouble,
)

_BLOCK: Final = 512
_CHUNK: Final = 1 << 20
_BUFFER: Final = 1 << 20
_END: Final = bytes(2 * _BLOCK)


class PackWriter:
    """Writes the messages of a run; the file is made with the first. MailError(TEMPORARY)."""

    def __init__(self, place: AccountPlace, run: str) -> None:
        self.run = run
        self._path = place.tar(run)
        self._part = self._path.with_name(self._path.name + ".part")
        self._file: BinaryIO | None = None
        self._at = 0
        self.messages = 0
        self.bytes = 0

    def add(self, name: bytes, date: int, size: int, chunks: Iterator[bytes]) -> tuple[int, str]:
        """Write a message of `size` bytes; returns its offset and SHA-256.

        A file that is shorter than it said is filled with zeros, so that what follows stays
        readable, and refused: ValueError.
        """
        try:
            if self._file is None:
                self._file = create_private(self._part, _BUFFER)
            head = _header(name, date, size)
            self._file.write(head)
            start = self._at + len(head)
            digest = hashlib.sha256()
            left = size
            for chunk in chunks:
                piece = chunk[:left]
                digest.update(piece)
                self._file.write(piece)
                left -= len(piece)
            self._file.write(bytes(left + -size % _BLOCK))
            self._at = start + size + -size % _BLOCK
        except OSError as error:
            raise trouble(self._part, error) from error
        if left:
            raise ValueError("shorter than it said")
        self.messages += 1
        self.bytes += size
        return start, digest.hexdigest()

    def finish(self) -> None:
        """End the file, make it durable, give it its name."""
        if self._file is None:
            return
        try:
            self._file.write(_END)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            os.rename(self._part, self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            raise trouble(self._path, error) from error

    def abandon(self) -> None:
        """Remove an unfinished file."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._part.unlink(missing_ok=True)


def _header(name: bytes, date: int, size: int) -> bytes:
    info = tarfile.TarInfo(os.fsdecode(name))
    info.size, info.mtime, info.mode = size, max(0, date), 0o600
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


class PackReader:
    """Reads messages of an account's runs. Any thread."""

    def __init__(self, place: AccountPlace) -> None:
        self._place = place
        self._files: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def open(self, runs: set[str]) -> None:
        """Open the tars of these runs. MailError(TEMPORARY), CORRUPT where one is missing."""
        for run in runs - self._files.keys():
            path = self._place.tar(run)
            try:
                self._files[run] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise MailError(ErrorKind.CORRUPT, f"{path} is missing") from None
            except OSError as error:
                raise trouble(path, error) from error

    def chunks(self, row: Row) -> Iterator[bytes]:
        """Yield a message; MailError(CORRUPT) at its end where it is not what was saved."""
        digest = hashlib.sha256()
        at, left = row.offset, row.size
        fd = self._files[row.pack]
        while left:
            try:
                piece = os.pread(fd, min(left, _CHUNK), at)
            except OSError as error:
                raise trouble(self._place.tar(row.pack), error) from error
            if not piece:
                break
            digest.update(piece)
            yield piece
            at += len(piece)
            left -= len(piece)
        if left or digest.hexdigest() != row.sha256:
            where = f"{self._place.tar(row.pack)} at {row.offset}"
            raise MailError(ErrorKind.CORRUPT, f"{where}: a message is damaged")

    def check(self, row: Row) -> None:
        """Read a message and forget it. MailError(CORRUPT)."""
        for _ in self.chunks(row):
            pass


def member_name(directory: str, filename: bytes) -> bytes:
    """Return the name of a message in the tar: where it lies in the Maildir."""
    folder = b"" if directory == "." else os.fsencode(directory) + b"/"
    return os.path.join(b"Maildir", folder + b"cur", filename)


def tar_size(path: Path) -> int:
    """Return the bytes of a tar, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
