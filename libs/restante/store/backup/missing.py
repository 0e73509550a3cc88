"""Which messages of a backup are not in the account any more.

A saved message is there when, in this order, a message of the same base name is in its folder, in
another folder (it was moved), or when a message of the same content is (it was moved by COPY, or
restored under another name). Each message of the account answers for one saved message at most, so
that two equal ones are two. What lies in Trash does not answer for messages of other folders:
somebody deleted them there, and who asks for a restore wants them back.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from restante.model import FolderName
from restante.store.backup.frozen import Frozen, FrozenFolder, open_message
from restante.store.backup.place import Row, SavedFolder
from restante.store.maildirsize import TRASH

_CHUNK: Final = 1 << 20

_Live = tuple[FrozenFolder, int]
_Kind = tuple[int, int]  # wire size, date: what equal messages have in common


def missing(
    wanted: Iterable[SavedFolder], now: Frozen, into: FolderName | None
) -> dict[FolderName, list[Row]]:
    """Return the rows that are not there, by saved folder; those of a folder in order of UIDs.

    `into`: only what is in this folder counts as there. BLOCKING: opens messages that could be
    the same; the caller acts as the owner. OSError.
    """
    return _Matching(now, into).run(list(wanted))


class _Matching:
    def __init__(self, now: Frozen, into: FolderName | None) -> None:
        self._into = into
        self._by_base: dict[bytes, list[_Live]] = defaultdict(list)
        self._by_kind: dict[_Kind, list[_Live]] = defaultdict(list)
        self._used: set[tuple[FolderName, int]] = set()
        self._digests: dict[tuple[FolderName, int], str] = {}
        for folder in now.folders:
            if into is not None and folder.name != into:
                continue
            columns = folder.columns
            for row, base in enumerate(columns.bases()):
                self._by_base[base].append((folder, row))
                self._by_kind[columns.wire_sizes[row], columns.dates[row]].append((folder, row))

    def run(self, wanted: list[SavedFolder]) -> dict[FolderName, list[Row]]:
        left = [(folder.name, row) for folder in wanted for row in folder.rows]
        for look in (self._here, self._elsewhere, self._equal):
            left = [(name, row) for name, row in left if not look(name, row)]
        found: dict[FolderName, list[Row]] = {}
        for name, row in left:
            found.setdefault(name, []).append(row)
        for rows in found.values():
            rows.sort(key=lambda row: row.uid)
        return found

    def _here(self, name: FolderName, row: Row) -> bool:
        target = name if self._into is None else self._into
        return any(
            self._take(live) for live in self._by_base.get(row.base, ()) if live[0].name == target
        )

    def _elsewhere(self, name: FolderName, row: Row) -> bool:
        return any(
            self._take(live)
            for live in self._by_base.get(row.base, ())
            if self._answers(live, name, row)
        )

    def _equal(self, name: FolderName, row: Row) -> bool:
        return any(
            self._digest(live) == row.sha256 and self._take(live)
            for live in self._by_kind.get((row.wire_size, row.date), ())
            if self._answers(live, name, row)
        )

    def _answers(self, live: _Live, name: FolderName, row: Row) -> bool:
        folder, at = live
        if folder.name == TRASH and TRASH not in {name, self._into}:
            return False
        same_size = folder.columns.wire_sizes[at] == row.wire_size
        return same_size and (folder.name, at) not in self._used

    def _take(self, live: _Live) -> bool:
        folder, row = live
        if (folder.name, row) in self._used:
            return False
        self._used.add((folder.name, row))
        return True

    def _digest(self, live: _Live) -> str:
        folder, row = live
        known = self._digests.get((folder.name, row))
        if known is None:
            fd = open_message(folder, row)
            if fd < 0:
                return ""
            digest = hashlib.sha256()
            try:
                while piece := os.read(fd, _CHUNK):
                    digest.update(piece)
            finally:
                os.close(fd)
            known = self._digests[folder.name, row] = digest.hexdigest()
        return known
