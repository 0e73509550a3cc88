"""EXPUNGE and POP3's DELE: unlink, then record."""

import os
from collections.abc import Sequence
from typing import Final

from restante.model import Flag
from restante.store.change_flags import disk_size
from restante.store.faults import GONE
from restante.store.layout import opened
from restante.store.maildirsize import is_counted
from restante.store.scan import split
from restante.store.transaction import Transaction

_DELETED: Final = int(Flag.DELETED)
_ATTEMPTS: Final = 4


def expunge(turn: Transaction, uids: Sequence[int] | None) -> list[int]:
    """Remove messages with \\Deleted, of `uids` if given; returns the UIDs, ascending."""
    columns = turn.index.columns
    if uids is None:
        chosen = [
            uid for uid, flags in zip(columns.uids, columns.flags, strict=False) if flags & _DELETED
        ]
    else:
        chosen = [
            uid
            for uid in sorted(set(uids))
            if (row := columns.find(uid)) >= 0 and columns.flags[row] & _DELETED
        ]
    return _remove(turn, chosen, needs=_DELETED)


def remove(turn: Transaction, uids: Sequence[int]) -> list[int]:
    """Remove messages; returns the UIDs that were there, ascending."""
    columns = turn.index.columns
    return _remove(turn, [u for u in sorted(set(uids)) if columns.find(u) >= 0], needs=0)


def _remove(turn: Transaction, uids: list[int], *, needs: int) -> list[int]:
    """Unlink and record. A file that lost the flags `needs` meanwhile stays."""
    if not uids:
        return []
    index = turn.index
    columns = index.columns
    removed: list[int] = []
    lost: list[int] = []
    size = count = 0
    try:
        with turn.changing_cur(), opened("cur", turn.folder) as cur:
            for uid in uids:
                row = columns.find(uid)
                if _unlink(cur, index.filename(row, columns)):
                    removed.append(uid)
                    if is_counted(turn.mailbox.name, Flag(columns.flags[row])):
                        size -= disk_size(columns, row)
                        count -= 1
                else:
                    lost.append(uid)
            if lost:
                removed += _remove_lost(turn, cur, lost, needs)
                removed.sort()
    finally:
        if removed:
            turn.expunge(removed)
            turn.commit()
    if count:
        turn.mailbox.owner.charge(size, count, folder=turn.mailbox.name)
    return removed


def _remove_lost(turn: Transaction, cur: int, lost: list[int], needs: int) -> list[int]:
    """Remove messages whose files were not where the index says; one that is nowhere is gone."""
    columns = turn.index.columns
    bases = {columns.base(columns.find(uid)): uid for uid in lost}
    removed: list[int] = []
    for _ in range(_ATTEMPTS):
        found = turn.locate(bases)
        removed += [uid for base, uid in bases.items() if base not in found]
        bases = {base: uid for base, uid in bases.items() if base in found}
        for base, path in found.items():
            directory, name = os.path.split(path)
            above = b"../new/" if directory == b"new" else b""
            if needs and not split(name)[1] & needs:
                del bases[base]  # somebody undeleted it
            elif _unlink(cur, above + name):
                removed.append(bases.pop(base))
        if not bases:
            break
    return removed


def _unlink(directory: int, name: bytes) -> bool:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise
    return True
