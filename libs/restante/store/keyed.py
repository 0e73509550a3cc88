"""Idempotent deliveries: which keys an account has received lately (`restante.keys`).

A key becomes the message's unique name (names.keyed_name), so that after a crash the message
itself, in new/ or cur/, proves its delivery. The record here covers what came later: a reader has
moved it to another folder or removed it. It is written after the message is durable and is not
synced: when it is lost, the name is still there.

The file is its own lock (lock.py) and is only touched under it. It starts with a magic line, then
fixed records with a checksum; damaged ones are ignored. Old ones go when it has grown.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from restante.store import durable
from restante.store.lock import locked

NAME: Final = "restante.keys"
KEEP: Final = 48 * 3600  # seconds

_MAGIC: Final = b"restante keys 1\n"
_RECORD: Final = struct.Struct("<16sqQQI4x")  # digest, unix time, size, wire size, checksum
_COMPACT: Final = 256 << 10  # bytes


class KeyedDeliveries:
    """The records of one account, while its lock is held."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        data = _read(fd)
        self._end = len(_MAGIC)
        self._known: dict[bytes, tuple[int, int, int]] = {}
        if data.startswith(_MAGIC):
            for at in range(len(_MAGIC), len(data) - _RECORD.size + 1, _RECORD.size):
                digest, when, size, wire_size, checksum = _RECORD.unpack_from(data, at)
                if checksum == zlib.crc32(data[at : at + 40]):
                    self._known[digest] = (when, size, wire_size)
                self._end = at + _RECORD.size

    def find(self, unique: str) -> tuple[int, int, int] | None:
        """Return (unix time, size, wire size) of a delivery in the last KEEP seconds."""
        found = self._known.get(_digest(unique))
        return found if found and found[0] > time.time() - KEEP else None

    def record(self, unique: str, size: int, wire_size: int) -> None:
        """Note a delivery. OSError."""
        now = int(time.time())
        self._known[_digest(unique)] = (now, size, wire_size)
        if self._end == len(_MAGIC):
            os.pwrite(self._fd, _MAGIC, 0)
        if self._end < _COMPACT:
            os.pwrite(self._fd, _pack(_digest(unique), now, size, wire_size), self._end)
            self._end += _RECORD.size
            return
        rows = [_pack(d, *row) for d, row in self._known.items() if row[0] > now - KEEP]
        data = b"".join([_MAGIC, *rows])
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))


@contextmanager
def keyed_deliveries(maildir: int) -> Iterator[KeyedDeliveries]:
    """Lock and read the records of the Maildir open as `maildir`. BLOCKING.

    OSError, MailError(TEMPORARY) where the lock cannot be had.
    """
    fd = durable.open_or_create(maildir, NAME)
    try:
        with locked(fd):
            yield KeyedDeliveries(fd)
    finally:
        os.close(fd)


def _digest(unique: str) -> bytes:
    return bytes.fromhex(unique[1:33])


def _pack(digest: bytes, when: int, size: int, wire_size: int) -> bytes:
    head = _RECORD.pack(digest, when, size, wire_size, 0)[:40]
    return _RECORD.pack(digest, when, size, wire_size, zlib.crc32(head))


def _read(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0) if size else b""
