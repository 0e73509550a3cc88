"""GDBM files by ctypes: what Debian's Courier keeps userdb.dat in.

Python's own module `_gdbm` is an extra package on Debian and missing in many interpreters; the
library itself (libgdbm.so.6, package libgdbm6) comes with Perl and Courier.

Invariants: no mmap, so that a file cut short under us is an error and not a SIGBUS. A reader
holds the library's shared lock, as Courier's does: replace files, never write into them. A handle
is for one thread at a time. `fetch` tells "not there" from every fault.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from restante.model import ErrorKind, MailError

LIBRARY: Final = "libgdbm.so.6"

_READER: Final = 0
_NEWDB: Final = 3
_NOMMAP: Final = 0x80
_CLOEXEC: Final = 0x100
_INSERT: Final = 0
_ITEM_NOT_FOUND: Final = 15  # GDBM_ITEM_NOT_FOUND


class _Datum(ctypes.Structure):
    _fields_ = (("dptr", ctypes.c_void_p), ("dsize", ctypes.c_int))


class Gdbm:
    """An open file."""

    def __init__(self, path: Path, *, create: int | None = None) -> None:
        """Open for reading, or with `create` (a mode such as 0o600) make an empty file.

        Raises MailError: CANNOT without the library, TEMPORARY where the file cannot be opened.
        """
        self._library = _load()
        self._path = path
        flags = (_READER if create is None else _NEWDB) | _NOMMAP | _CLOEXEC
        self._file = self._library.gdbm_open(os.fsencode(path), 0, flags, create or 0, None)
        if not self._file:
            raise MailError(ErrorKind.TEMPORARY, f"{path}: {self._reason()}")

    def fetch(self, key: bytes) -> bytes | None:
        """Return the value of a key, None where it is not there. Raises MailError(TEMPORARY)."""
        return self._taken(self._library.gdbm_fetch(self._handle(), _datum(key)))

    def __iter__(self) -> Iterator[bytes]:
        """Yield all keys, in no order. Raises MailError(TEMPORARY), also midway."""
        key = self._taken(self._library.gdbm_firstkey(self._handle()))
        while key is not None:
            yield key
            key = self._taken(self._library.gdbm_nextkey(self._handle(), _datum(key)))

    def insert(self, key: bytes, value: bytes) -> bool:
        """Add a record; False where the key is there already. Raises MailError(TEMPORARY)."""
        done = self._library.gdbm_store(self._handle(), _datum(key), _datum(value), _INSERT)
        if done < 0:
            raise MailError(ErrorKind.TEMPORARY, f"{self._path}: {self._reason()}")
        return bool(done == 0)

    def close(self) -> None:
        """Write what is not written yet and close; more than once is fine.

        Raises MailError(TEMPORARY) where writing fails.
        """
        if self._file:
            file, self._file = self._file, None
            if self._library.gdbm_close(file) != 0:
                raise MailError(ErrorKind.TEMPORARY, f"{self._path}: {self._reason()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_file", None):
            with suppress(MailError):
                self.close()

    def _handle(self) -> Any:
        if not self._file:
            raise MailError(ErrorKind.TEMPORARY, f"{self._path} is closed")
        return self._file

    def _taken(self, datum: _Datum) -> bytes | None:
        """Return what the library allocated, freed."""
        if not datum.dptr:
            if self._library.gdbm_errno_location()[0] == _ITEM_NOT_FOUND:
                return None
            raise MailError(ErrorKind.TEMPORARY, f"{self._path}: {self._reason()}")
        try:
            return ctypes.string_at(datum.dptr, datum.dsize)
        finally:
            _free(datum.dptr)

    def _reason(self) -> str:
        code = self._library.gdbm_errno_location()[0]
        text: bytes = self._library.gdbm_strerror(code)
        return text.decode("utf-8", "replace")


def _datum(data: bytes) -> _Datum:
    return _Datum(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data))


_library: ctypes.CDLL | None = None
_free = ctypes.CDLL(None).free
_free.argtypes, _free.restype = (ctypes.c_void_p,), None


def _load() -> ctypes.CDLL:
    global _library
    if _library is None:
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            text = f"indexed userdb files need {LIBRARY}, which is missing (package libgdbm6)"
            raise MailError(ErrorKind.CANNOT, text) from error
        file, text_ = ctypes.c_void_p, ctypes.c_char_p
        number = ctypes.c_int
        for name, result, arguments in (
            ("gdbm_open", file, (text_, number, number, number, ctypes.c_void_p)),
            ("gdbm_close", number, (file,)),
            ("gdbm_fetch", _Datum, (file, _Datum)),
            ("gdbm_store", number, (file, _Datum, _Datum, number)),
            ("gdbm_firstkey", _Datum, (file,)),
            ("gdbm_nextkey", _Datum, (file, _Datum)),
            ("gdbm_strerror", text_, (number,)),
            ("gdbm_errno_location", ctypes.POINTER(number), ()),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        _library = library
    return _library
