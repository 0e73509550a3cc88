"""Who notices that userdb changed: every POLL seconds, by comparing it with what it was.

UserdbChanges follows the text. A line that is gone must be gone twice: an editor may be writing.
UserdbIndexChanges follows the indexed files. They are replaced as a whole, so what is gone is
gone; the old ones are kept open to compare with, and nothing is kept in memory. Where comparing
takes long all verdicts are void first, and sessions end as their accounts are found.

What changes while auth is down ends no session. While userdb cannot be read nobody of it can log
in, not by a verdict either; who was in stays.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from restante.model import MailError
from restante.rpc.revocation import Reason, Revocation
from services.auth.backends.base import Record
from services.auth.backends.userdb import UserdbBackend
from services.auth.backends.userdb_index import Entry, Index, UserdbIndexBackend, signature
from services.auth.backends.userdb_names import UserdbNames
from services.auth.backends.userdb_passwords import KeptSessions
from services.auth.hub import Hub

POLL: Final = 0.4  # seconds
_PAGE: Final = 5_000  # accounts compared in one trip to a thread: a fraction of a second

_UNKNOWN: Final = Revocation("", Reason.CHANGED)


EndOthers = Callable[[str, str], Awaitable[None]]
"""Ends all sessions of an address but the webmail session with this id. Raises MailError."""


class _Poll(ABC):
    """Looks again and again."""

    def __init__(self, kept: KeptSessions, hub: Hub, end_others: EndOthers) -> None:
        self._hub = hub
        self._kept, self._end_others = kept, end_others
        self._readable = True
        hub.lost(self)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            try:
                await self._look()
            except MailError:
                if self._readable:
                    self._hub.publish(_UNKNOWN)
                self._readable = False
            else:
                self._readable = True
            self._hub.found(self)
            await asyncio.sleep(POLL)

    async def _publish(self, revocation: Revocation) -> None:
        """Tell of a change, which may be that of an owner in webmail."""
        changed = revocation.reason is Reason.PASSWORD
        if changed and (kept := self._kept.take(revocation.address)):
            try:
                await self._end_others(revocation.address, kept)
            except MailError:
                self._hub.publish(revocation)  # rather all than none
        else:
            self._hub.publish(revocation)

    @abstractmethod
    async def _look(self) -> None:
        """Publish what is new. Raises MailError where userdb cannot be read."""


class UserdbChanges(_Poll):
    """Watches the text files."""

    def __init__(self, backend: UserdbBackend, hub: Hub, end_others: EndOthers) -> None:
        super().__init__(backend.kept_sessions, hub, end_others)
        self._backend = backend
        self._seen: dict[str, Record] | None = None
        self._known = Known({})

    async def _look(self) -> None:
        records, bad = await self._backend.table()
        if self._seen is None:
            self._known = Known(records)
        elif records is not self._seen or self._known.missing:
            self._known, told = await asyncio.to_thread(compare, self._known, records, bad)
            for revocation in told:
                await self._publish(revocation)
        self._seen = records


class UserdbIndexChanges(_Poll):
    """Watches the indexed files."""

    def __init__(self, backend: UserdbIndexBackend, hub: Hub, end_others: EndOthers) -> None:
        super().__init__(backend.kept_sessions, hub, end_others)
        self._path, self._names = backend.path, backend.names
        self._seen: Index | None = None

    async def _look(self) -> None:
        old = self._seen
        if old is None:
            self._seen = await asyncio.to_thread(Index, self._path)
            return
        if old.signature == await asyncio.to_thread(signature, self._path):
            return
        new = await asyncio.to_thread(Index, self._path)
        if _written_into(old, new):
            self._hub.publish(_UNKNOWN)
        found = differences(old, new, self._names)
        first = True
        while page := await asyncio.to_thread(lambda: list(islice(found, _PAGE))):
            if first and len(page) == _PAGE:
                self._hub.publish(_UNKNOWN)
            first = False
            for revocation in page:
                if revocation is not None:
                    await self._publish(revocation)
        self._seen = new


def _written_into(old: Index, new: Index) -> bool:
    """True where somebody wrote into a file that should be replaced: what was there is lost."""
    pairs = zip(old.signature, new.signature, strict=True)
    return any(was[0] == now[0] and was[1:3] != now[1:3] for was, now in pairs)


def differences(old: Index, new: Index, names: UserdbNames) -> Iterator[Revocation | None]:
    """Yield for each account what its change revokes, None for nothing.

    Raises MailError(TEMPORARY), also midway.
    """
    for key in old.names():
        was = old.get(key)
        reason = None if was is None else _difference(names, key, was, new.get(key))
        yield None if reason is None else Revocation(names.address_of(key), reason)
    for key in new.names():
        yield None if old.get(key) else Revocation(names.address_of(key), Reason.CHANGED)


def _difference(names: UserdbNames, key: bytes, was: Entry, now: Entry | None) -> Reason | None:
    if now is None:
        return Reason.REMOVED
    if was == now:
        return None
    address = names.address_of(key)
    try:
        return difference(was.record(address), now.record(address))
    except (MailError, ValueError, KeyError):
        return Reason.CHANGED


@dataclass(frozen=True, slots=True)
class Known:
    """What was told about userdb. `missing` are among the records, but were not seen last time."""

    records: dict[str, Record]
    missing: frozenset[str] = frozenset()


def compare(
    known: Known, records: dict[str, Record], bad: set[str]
) -> tuple[Known, list[Revocation]]:
    """Return what is known now, and what the difference revokes.

    An account whose line cannot be read, or is not there for the first time (an editor may be
    writing the file just now), is CHANGED; one that is missing twice is REMOVED.
    """
    told = []
    now = dict(records)
    missing = set()
    for address, old in known.records.items():
        new = records.get(address)
        if new is None:
            if address in known.missing and address not in bad:
                told.append(Revocation(address, Reason.REMOVED))
                continue
            now[address] = old
            if address not in bad:
                missing.add(address)
            told.append(Revocation(address, Reason.CHANGED))
        elif reason := difference(old, new):
            told.append(Revocation(address, reason))
    told += [Revocation(a, Reason.CHANGED) for a in records.keys() - known.records.keys()]
    return Known(now, frozenset(missing)), told


def difference(old: Record, new: Record) -> Reason | None:
    """Return what a change of an account revokes."""
    if _secrets(old) != _secrets(new):
        return Reason.PASSWORD
    return None if old == new else Reason.CHANGED


def _secrets(record: Record) -> tuple[object, ...]:
    return record.password, dict(record.service_passwords), dict(record.contexts)
