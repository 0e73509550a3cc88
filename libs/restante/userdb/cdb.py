"""cdb files (D. J. Bernstein's constant database), which exim reads by its lookup cdb.

Format: 256 pairs of little-endian 32-bit numbers (position and slots of each table), the records
(length of key, length of value, key, value), then the tables of (hash, position) slots. A key's
hash starts at 5381 and takes each byte by hash * 33 ^ byte, modulo 2^32; its low 8 bits choose the
table, the rest modulo the table's size the first slot, the next free one follows. Each table has
twice as many slots as records.
"""

import os
import struct
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError

_PAIR: Final = struct.Struct("<II")
_TABLES: Final = 256
_HEADER: Final = _TABLES * _PAIR.size
_LIMIT: Final = 2**32 - 1  # positions are 32 bits


class CdbWriter:
    """A file being made."""

    def __init__(self, path: Path, mode: int) -> None:
        """Make an empty file. Raises OSError."""
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, mode), "wb")
        self._file.write(bytes(_HEADER))
        self._at = _HEADER
        self._slots: list[list[tuple[int, int]]] = [[] for _ in range(_TABLES)]
        self._keys: set[bytes] = set()

    def insert(self, key: bytes, value: bytes) -> bool:
        """Add a record; False where the key is there already.

        Raises OSError, MailError(CANNOT) beyond 4 GB.
        """
        if key in self._keys:
            return False
        self._keys.add(key)
        hashed = cdb_hash(key)
        self._slots[hashed % _TABLES].append((hashed, self._at))
        self._write(_PAIR.pack(len(key), len(value)) + key + value)
        return True

    def close(self) -> None:
        """Write the tables and close. Raises OSError, MailError(CANNOT)."""
        if self._file.closed:
            return
        with self._file as file:
            header = b""
            for entries in self._slots:
                slots: list[tuple[int, int]] = [(0, 0)] * (2 * len(entries))
                for hashed, position in entries:
                    at = (hashed >> 8) % len(slots)
                    while slots[at][1]:
                        at = (at + 1) % len(slots)
                    slots[at] = (hashed, position)
                header += _PAIR.pack(self._at, len(slots))
                self._write(b"".join(_PAIR.pack(*slot) for slot in slots))
            file.seek(0)
            file.write(header)

    def _write(self, data: bytes) -> None:
        if self._at + len(data) > _LIMIT:
            raise MailError(ErrorKind.CANNOT, f"{self._path}: a cdb file has at most 4 GB")
        self._file.write(data)
        self._at += len(data)


def cdb_hash(key: bytes) -> int:
    """Return the hash of a key."""
    hashed = 5381
    for byte in key:
        hashed = (hashed * 33 & 0xFFFFFFFF) ^ byte
    return hashed
