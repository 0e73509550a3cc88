"""STORE: flags go into file names, keywords into the journal.

A rename that finds no file means that somebody else renamed or removed it: the directory is
listed, the change is applied to the flags that the file has now, and the rename is tried again, a
few times. So changes of two programs to one message merge, as +FLAGS and -FLAGS mean it.
"""

import os
from collections.abc import Sequence
from typing import Final

from restante.model import ErrorKind, Flag, MailError
from restante.store import records
from restante.store.changes import NAMED, StoreMode, StoreResult
from restante.store.columns import Columns
from restante.store.faults import GONE
from restante.store.index import LETTERS
from restante.store.layout import opened
from restante.store.maildirsize import is_counted
from restante.store.records import Kind
from restante.store.scan import number_after, split, with_flags
from restante.store.transaction import Transaction

_ATTEMPTS: Final = 4
_ALL: Final = 63
_SEEN: Final = int(Flag.SEEN)


def store(
    turn: Transaction,
    uids: Sequence[int],
    mode: StoreMode,
    flags: Flag,
    keywords: Sequence[str],
    *,
    unchanged_since: int | None,
) -> StoreResult:
    """Do `Mailbox.store`."""
    bits = turn.keyword_mask(keywords, define=mode is not StoreMode.REMOVE)
    columns = turn.index.columns
    result = StoreResult()
    wanted: dict[int, int] = {}  # uid -> keyword bits
    for uid in dict.fromkeys(uids):
        row = columns.find(uid)
        if row < 0:
            result.gone.append(uid)
        elif unchanged_since is not None and columns.modseqs[row] > unchanged_since:
            result.modified.append(uid)
        else:
            wanted[uid] = combined(mode, columns.keyword_bits[row], bits)
    renames = _Renames(turn, mode, int(flags))
    try:
        renames.run(list(wanted))
    finally:
        # Also what was renamed before a fault of the disk belongs into the journal.
        rows = []
        read = []
        for uid, new_flags in renames.flags.items():
            row = columns.find(uid)
            new_bits = wanted[uid]
            if new_flags & _SEEN and not columns.flags[row] & _SEEN:
                read.append(row)
            if new_flags != columns.flags[row] or new_bits != columns.keyword_bits[row]:
                rows.append((uid, new_flags, new_bits))
        named = [columns.base(row) for row in read[:NAMED]]
        charge = _charge(turn, rows)
        keywords_changed = any(
            bits != columns.keyword_bits[columns.find(uid)] for uid, _, bits in rows
        )
        if rows:
            modseq = turn.next_modseq()
            turn.emit(Kind.FLAGS, records.pack_flags(rows))
        if renames.names:
            turn.emit(Kind.FILENAME, records.pack_texts(renames.names.items()))
        turn.commit()
    if keywords_changed and turn.mailbox.unsaved:
        raise MailError(ErrorKind.TEMPORARY, "the disk is full")
    if charge[1]:
        turn.mailbox.owner.charge(*charge, folder=turn.mailbox.name)
    result.gone.extend(renames.gone)
    if not rows:
        return result
    return StoreResult(
        [row[0] for row in rows], result.modified, result.gone, modseq, len(read), named
    )


def combined(mode: StoreMode, old: int, given: int) -> int:
    """Return the mask after a STORE."""
    if mode is StoreMode.SET:
        return given
    return old | given if mode is StoreMode.ADD else old & ~given


class _Renames:
    """Renames files to their new flags. `flags` and `names` say what they have afterwards."""

    def __init__(self, turn: Transaction, mode: StoreMode, given: int) -> None:
        self.turn = turn
        self.mode = mode
        self.given = given & _ALL
        self.flags: dict[int, int] = {}
        self.names: dict[int, bytes] = {}  # of odd names, b"" for one that is usual again
        self.gone: list[int] = []

    def run(self, uids: list[int]) -> None:
        """Rename the files of these UIDs, all of which are in the index."""
        turn = self.turn
        index = turn.index
        columns = index.columns
        with turn.changing_cur(), opened("cur", turn.folder) as cur:
            lost: list[int] = []
            for uid in uids:
                row = columns.find(uid)
                old = index.filename(row, columns)
                flags = combined(self.mode, columns.flags[row], self.given)
                if flags == columns.flags[row]:
                    self.flags[uid] = flags
                elif not self._rename(cur, b"", old, uid, flags):
                    lost.append(uid)
            for _ in range(_ATTEMPTS):
                if not lost:
                    break
                lost = self._again(cur, lost)
            self.gone += lost

    def _again(self, cur: int, lost: list[int]) -> list[int]:
        columns = self.turn.index.columns
        bases = {columns.base(columns.find(uid)): uid for uid in lost}
        found = self.turn.locate(bases)
        still: list[int] = []
        for base, uid in bases.items():
            path = found.get(base)
            if path is None:
                self.gone.append(uid)
                continue
            directory, name = os.path.split(path)
            flags = combined(self.mode, split(name)[1], self.given)
            above = b"../new/" if directory == b"new" else b""
            if not self._rename(cur, above, name, uid, flags):
                still.append(uid)
        return still

    def _rename(self, cur: int, above: bytes, old: bytes, uid: int, flags: int) -> bool:
        new = with_flags(old, flags)
        if above or new != old:
            try:
                os.rename(above + old, new, src_dir_fd=cur, dst_dir_fd=cur)
            except OSError as error:
                if error.errno in GONE:
                    return False
                raise
        self.flags[uid] = flags
        usual = new.partition(b":2,")[0] + b":2," + LETTERS[flags]
        odd = self.turn.index.filenames
        if new != usual:
            self.names[uid] = new
        elif odd and uid in odd:
            self.names[uid] = b""
        return True


def _charge(turn: Transaction, rows: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    """Return bytes and messages that count for the quota now: \\Deleted ones do not."""
    columns = turn.index.columns
    name = turn.mailbox.name
    size = count = 0
    for uid, flags, _ in rows:
        row = columns.find(uid)
        before = is_counted(name, Flag(columns.flags[row]))
        after = is_counted(name, Flag(flags))
        if before != after:
            sign = 1 if after else -1
            count += sign
            size += sign * disk_size(columns, row)
    return size, count


def disk_size(columns: Columns, row: int) -> int:
    """Return a message's size as the quota counts it: of its name, else about that."""
    size = number_after(columns.base(row), b",S=")
    return size if size >= 0 else columns.wire_sizes[row]
