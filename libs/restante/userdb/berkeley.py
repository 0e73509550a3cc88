"""Berkeley DB files of the hash kind: what Debian's exim reads by its lookups dbm and dbmnz.

Made through libdb-5.3's own ndbm interface, which has plain functions (the usual interface hangs
them into a struct that differs from version to version). Exim is linked with the same library, so
where this file is of use the library is there. Keys and values have no NUL at their end: dbmnz.

The interface cannot say that closing failed, on a full disk for instance; so a file is counted
through again before it is good.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from restante.model import ErrorKind, MailError

LIBRARY: Final = "libdb-5.3.so"
SUFFIX: Final = ".db"  # the library adds it to the name of every file it makes

_INSERT: Final = 0


class BerkeleyWriter:
    """A file being made."""

    def __init__(self, path: Path, mode: int) -> None:
        """Make an empty file; `path` ends with SUFFIX.

        Raises MailError: CANNOT without the library, TEMPORARY where the file cannot be made.
        """
        self._library = _load()
        self._path = path
        self._count = 0
        self._file = self._open(os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def insert(self, key: bytes, value: bytes) -> bool:
        """Add a record; False where the key is there already. Raises MailError(TEMPORARY)."""
        records = _Datum(key, len(key)), _Datum(value, len(value))
        done = self._library.store(self._file, *records, _INSERT)
        if done < 0:
            raise self._fault()
        self._count += done == 0
        return bool(done == 0)

    def close(self) -> None:
        """Write the rest, close, and see that all is there. Raises MailError(TEMPORARY)."""
        file, self._file = self._file, None
        if not file:
            return
        self._library.close(file)
        file = self._open(os.O_RDONLY, 0)
        try:
            count = 0
            key = self._library.first(file)
            while key.dptr is not None:
                count += 1
                key = self._library.next(file)
        finally:
            self._library.close(file)
        if count != self._count:
            raise MailError(ErrorKind.TEMPORARY, f"{self._path}: not all records could be written")

    def _open(self, flags: int, mode: int) -> Any:
        name = os.fsencode(self._path).removesuffix(SUFFIX.encode())
        file = self._library.open(name, flags, mode)
        if not file:
            raise self._fault()
        return file

    def _fault(self) -> MailError:
        reason = os.strerror(ctypes.get_errno())
        return MailError(ErrorKind.TEMPORARY, f"{self._path}: {reason}")


class _Datum(ctypes.Structure):
    _fields_ = (("dptr", ctypes.c_char_p), ("dsize", ctypes.c_int))


class _Functions(NamedTuple):
    open: Callable[..., Any]
    store: Callable[..., int]
    first: Callable[..., _Datum]
    next: Callable[..., _Datum]
    close: Callable[..., None]


_functions: _Functions | None = None


def _load() -> _Functions:
    global _functions
    if _functions is None:
        file, number = ctypes.c_void_p, ctypes.c_int
        try:
            library = ctypes.CDLL(LIBRARY, use_errno=True)
            found = []
            for name, result, arguments in (
                ("open", file, (ctypes.c_char_p, number, number)),
                ("store", number, (file, _Datum, _Datum, number)),
                ("firstkey", _Datum, (file,)),
                ("nextkey", _Datum, (file,)),
                ("close", None, (file,)),
            ):
                function = getattr(library, f"__db_ndbm_{name}")
                function.restype, function.argtypes = result, arguments
                found.append(function)
        except (OSError, AttributeError) as error:
            text = f"Berkeley DB files need {LIBRARY}, which is missing (package libdb5.3)"
            raise MailError(ErrorKind.CANNOT, text) from error
        _functions = _Functions(*found)
    return _functions
