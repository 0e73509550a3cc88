"""Saving an account: a moment, the messages that no earlier run has, a manifest.

Messages are read without locks. One that is gone by then was removed, or moved on and is in another
folder under the same or a new name; so after a round that missed any, another moment is taken, and
what is new there is read: mostly nothing. From the second round on, when only a few are left, they
are read before the locks are given back, and nothing can escape any more. Programs that know no
locks (exim, mutt, Courier) can still move a file in that instant; then the next round finds it.
"""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from restante.store.backup.frozen import Freezer, Frozen, FrozenFolder, open_message
from restante.store.backup.packs import PackWriter, member_name
from restante.store.backup.place import AccountPlace, Manifest, Row, SavedFolder
from restante.store.faults import as_mail_error

if TYPE_CHECKING:
    from restante.store.account import AccountStore

_ROUNDS: Final = 6
_FEW: Final = 256  # messages that are read under locks
_READERS: Final = 4
_AHEAD: Final = 32
_SMALL: Final = 1 << 20  # bytes that are read ahead as a whole

_Key = tuple[bytes, int, int]  # base, wire size, date: enough to know a message by
_Item = tuple[FrozenFolder, int]  # folder, row


@dataclass(frozen=True, slots=True)
class Saved:
    """What a run did."""

    run: str
    full: bool
    folders: int
    messages: int  # in the account
    added: int  # messages that this run wrote
    added_bytes: int
    bytes: int  # of all messages
    lost: int  # messages that were removed while they were read
    unreadable: int  # files that could not be read
    removed: int  # older runs


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where a message is in the backup."""

    size: int
    sha256: str
    pack: str
    offset: int


def save(
    account: "AccountStore", place: AccountPlace, *, full: bool = False, keep: int = 0
) -> Saved:
    """Write a run. BLOCKING; MailError.

    full: begin a new chain. keep: then remove all but so many chains; 0 keeps all.
    """
    with place.locked():
        runs = place.runs()
        last = None if full or not runs else place.read(runs[-1])
        run = place.next_run()
        writer = PackWriter(place, run)
        try:
            with closing(Freezer(account)) as freezer:
                job = _Job(account, writer, _known(last))
                moment, rows = job.run(freezer)
            writer.finish()
        finally:
            writer.abandon()
        manifest = _manifest(run, account, last.chain if last else run, moment, rows)
        if last is not None and not writer.messages and manifest.state() == last.state():
            place.repeat(last.run, run)
        else:
            place.write(manifest)
        removed = place.prune(keep) if keep else []
    return Saved(
        run,
        last is None,
        len(manifest.folders),
        manifest.messages,
        writer.messages,
        writer.bytes,
        manifest.size,
        job.lost,
        len(job.unreadable),
        len(removed),
    )


def _known(last: Manifest | None) -> dict[_Key, _Kept]:
    if last is None:
        return {}
    return {
        (row.base, row.wire_size, row.date): _Kept(row.size, row.sha256, row.pack, row.offset)
        for folder in last.folders
        for row in folder.rows
    }


def _key(folder: FrozenFolder, row: int) -> _Key:
    columns = folder.columns
    return columns.base(row), columns.wire_sizes[row], columns.dates[row]


class _Job:
    """The reading of one run."""

    def __init__(
        self, account: "AccountStore", writer: PackWriter, known: dict[_Key, _Kept]
    ) -> None:
        self._account, self._writer, self._known = account, writer, known
        self.lost = 0
        self.unreadable: set[_Key] = set()

    def run(self, freezer: Freezer) -> tuple[Frozen, dict[_Key, _Kept]]:
        """Return a moment and where its messages are in the backup."""
        for number in range(_ROUNDS):
            with freezer.frozen() as moment:
                wanted = self._wanted(moment)
                few = number > 0 and len(wanted) <= _FEW
                if few:
                    missed = self._read(wanted)
            if not few:
                missed = self._read(wanted)
            if not missed:
                break
        self.lost = missed
        return moment, self._known

    def _wanted(self, moment: Frozen) -> list[_Item]:
        known, unreadable = self._known, self.unreadable
        return [
            (folder, row)
            for folder in moment.folders
            for row in range(len(folder.columns))
            if (key := _key(folder, row)) not in known and key not in unreadable
        ]

    def _read(self, wanted: list[_Item]) -> int:
        """Write messages to the tar; returns how many were not there."""
        missed = 0
        with ThreadPoolExecutor(_READERS) as pool:
            rest = iter(wanted)
            ahead = [(item, pool.submit(self._fetch, item)) for item in islice(rest, _AHEAD)]
            while ahead:
                item, future = ahead.pop(0)
                for more in islice(rest, 1):
                    ahead.append((more, pool.submit(self._fetch, more)))
                found = future.result()
                if found is None:
                    missed += 1
                else:
                    self._write(item, *found)
        return missed

    def _fetch(self, item: _Item) -> tuple[int, bytes, int] | None:
        """Open and, where it is small, read a message: (size, content, descriptor or -1)."""
        folder, row = item
        try:
            with self._account.acting():
                fd = open_message(folder, row)
                if fd < 0:
                    return None
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise ValueError("not a file")
                if status.st_size > _SMALL:
                    fd, kept = -1, fd
                    return status.st_size, b"", kept
                return status.st_size, b"".join(_chunks(fd)), -1
            finally:
                if fd >= 0:
                    os.close(fd)
        except PermissionError:
            return 0, b"", -2
        except ValueError:
            return 0, b"", -2
        except OSError as error:
            raise as_mail_error(error) from error

    def _write(self, item: _Item, size: int, content: bytes, fd: int) -> None:
        folder, row = item
        key = _key(folder, row)
        if fd == -2:
            self.unreadable.add(key)
            return
        if key in self._known:  # two names of one message
            if fd >= 0:
                os.close(fd)
            return
        name = member_name(folder.directory, folder.filenames[row])
        chunks = iter((content,)) if fd < 0 else _chunks(fd)
        try:
            offset, digest = self._writer.add(name, key[2], size, chunks)
        except ValueError:
            self.unreadable.add(key)
            return
        except OSError as error:
            raise as_mail_error(error) from error
        finally:
            if fd >= 0:
                os.close(fd)
        self._known[key] = _Kept(size, digest, self._writer.run, offset)


def _chunks(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, _SMALL):
        yield piece


def _manifest(
    run: str,
    account: "AccountStore",
    chain: str,
    moment: Frozen,
    kept: dict[_Key, _Kept],
) -> Manifest:
    manifest = Manifest(
        run, account.account.address, chain, moment.uidvalidity_mark, moment.subscriptions
    )
    subscribed = set(moment.subscriptions)
    for folder in moment.folders:
        saved = SavedFolder(
            folder.name,
            folder.uidvalidity,
            folder.uidnext,
            folder.modseq,
            folder.keywords,
            moment.special_uses.get(folder.name, ""),
            folder.name in subscribed,
        )
        columns = folder.columns
        for row, uid in enumerate(columns.uids):
            found = kept.get(_key(folder, row))
            if found is None:
                continue
            saved.rows.append(
                Row(
                    uid,
                    columns.base(row),
                    columns.flags[row],
                    tuple(folder.keywords_of(row)),
                    columns.wire_sizes[row],
                    columns.dates[row],
                    folder.uidls.get(uid, b""),
                    found.size,
                    found.sha256,
                    found.pack,
                    found.offset,
                )
            )
        manifest.folders.append(saved)
    return manifest
