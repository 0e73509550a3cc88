"""Accounts in userdb's indexed files, userdb.dat and userdbshadow.dat, as makeuserdb makes them.

A login costs two fetches however many accounts there are; nothing is kept in memory. Names are
looked up as written in canonical form (lower case where case is folded), a name without a domain
for those of the default domain too. userdbshadow.dat must be closed to group and others, and
neither file a symlink or open to their writing.

Invariants: the files are replaced (rename), never written into, so an open file is one state of
the accounts; an open one is never another file's inode again. They are looked at (stat) before
every answer and opened anew when another is there. makeuserdb renames one after the other: for a
moment an account may have its old password. Whatever cannot be read is TEMPORARY.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from restante.userdb import source
from restante.userdb.gdbm import Gdbm
from restante.userdb.records import index_paths
from services.auth.backends.base import Check, PasswordChange, Record
from services.auth.backends.userdb import record_of
from services.auth.backends.userdb_names import UserdbNames
from services.auth.backends.userdb_passwords import KeptSessions, change_password
from services.auth.names import Login

log = get_logger(__name__)

_YOUNG_NS: Final = 2_000_000_000
_PAGE: Final = 500  # accounts for one trip to a thread

_T = TypeVar("_T")
Signature = tuple[tuple[int, int, int, int], ...]  # inode, size, mtime, ctime


@dataclass(frozen=True, slots=True)
class Entry:
    """What both files have of one key, unparsed."""

    public: bytes
    shadow: bytes

    def record(self, address: str) -> Record:
        """Return the account. Raises MailError, ValueError or KeyError where it is none."""
        text = b"|".join((self.public, self.shadow)).decode("utf-8", "surrogateescape")
        return record_of(address, source.fields_of(text))


class Index:
    """Both files, open, as they were at one time. For one thread at a time.

    They are closed when nobody has the object any more: a thread may still be reading where the
    task that waited for it was cancelled.
    """

    def __init__(self, path: Path) -> None:
        """Raises MailError: CANNOT without the library, TEMPORARY for everything else."""
        self.signature = signature(path)
        # A file as young as this may have been written twice within a tick of the clock.
        youngest = max(entry[2] for entry in self.signature)
        self.settled = time.time_ns() - youngest > _YOUNG_NS
        main, shadow = index_paths(path)
        self._main, self._shadow = Gdbm(main), Gdbm(shadow)

    def get(self, key: bytes) -> Entry | None:
        """Return what is stored under a key. Raises MailError(TEMPORARY)."""
        public = self._main.fetch(key)
        return None if public is None else Entry(public, self._shadow.fetch(key) or b"")

    def names(self) -> Iterator[bytes]:
        """Yield the key of every account. Raises MailError(TEMPORARY), also midway."""
        for key in self._main:
            if not source.is_reverse(key.decode("utf-8", "surrogateescape")):
                yield key


class UserdbIndexBackend:
    """The accounts of an index."""

    name = "userdb"

    def __init__(self, path: Path, names: UserdbNames, *, writable: bool = False) -> None:
        """`path` is that of userdb.dat; the other file lies beside it.

        `writable`: owners may change their passwords, in the text that the files are made of.
        """
        self.path, self.names = path, names
        self._writable = writable
        self.kept_sessions = KeptSessions()
        self._index: Index | None = None
        self._lock = threading.Lock()

    async def open(self) -> None:
        """See that the files can be read."""
        await asyncio.to_thread(self._with_index, lambda index: None)

    async def find(self, login: Login) -> Record | None:
        """Return the account of a login. Raises MailError(TEMPORARY)."""
        keys = self.names.keys(login)

        def look(index: Index) -> Entry | None:
            return next((e for e in map(index.get, keys) if e is not None), None)

        entry = await asyncio.to_thread(self._with_index, look)
        if entry is None:
            return None
        try:
            return entry.record(login.address)
        except (MailError, ValueError, KeyError) as error:
            log.warning("userdb has a bad record", address=login.address, reason=str(error))
            text = "the account's record in userdb cannot be read"
            raise MailError(ErrorKind.TEMPORARY, text) from error

    async def records(self) -> AsyncIterator[Record]:
        """Yield every account. Raises MailError(TEMPORARY), also for a bad record, at the end."""
        index = await asyncio.to_thread(Index, self.path)
        entries = ((key, entry) for key in index.names() if (entry := index.get(key)))
        bad = 0
        while page := await asyncio.to_thread(lambda: list(islice(entries, _PAGE))):
            for key, entry in page:
                address = self.names.address_of(key)
                try:
                    record = entry.record(address)
                except (MailError, ValueError, KeyError) as error:
                    log.warning("userdb has a bad record", address=address, reason=str(error))
                    bad += 1
                    continue
                yield record
        if bad:
            raise MailError(ErrorKind.TEMPORARY, "some records of userdb cannot be read")

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """Never asked: userdb keeps hashes."""
        return False

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Edit the text beside the files and make them anew; False where that is not ours."""
        text = self.path.with_suffix("")
        if not self._writable or text == self.path:
            return False

        def work() -> bool:
            return change_password(text, self.names, login, change, index=True)

        return await self.kept_sessions.during(login, change, work)

    async def close(self) -> None:
        """Let go of the files."""
        self._index = None

    def _with_index(self, run: Callable[[Index], _T]) -> _T:
        """Call `run` with the files as they are now."""
        with self._lock:
            index = self._index
            if index is None or not index.settled or index.signature != signature(self.path):
                self._index = None
                index = self._index = Index(self.path)
            try:
                return run(index)
            except MailError:
                self._index = None
                raise


def signature(path: Path) -> Signature:
    """Return what differs when one of the files was replaced; checks permissions.

    Raises MailError(TEMPORARY).
    """
    main, shadow = index_paths(path)
    found = []
    try:
        for file, forbidden in ((main, 0o022), (shadow, 0o077)):
            info = os.lstat(file)
            source.check_kind(file, info)
            if info.st_mode & forbidden:
                raise PermissionError(1, "group or others may access it", str(file))
            found.append((info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
    except OSError as error:
        log.warning("userdb cannot be read", path=str(error.filename), reason=error.strerror)
        raise MailError(ErrorKind.TEMPORARY, "userdb cannot be read") from error
    return tuple(found)
