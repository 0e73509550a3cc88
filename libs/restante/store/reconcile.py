"""Makes the index agree with new/ and cur/: finds new, renamed, changed and missing files.

What may be remembered about the directories, and why a file is not gone at once, stands in
scan.py.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from restante.model import MailError
from restante.store import records
from restante.store.accountfile import note_uidvalidity
from restante.store.faults import GONE
from restante.store.importers import Imported, import_folder
from restante.store.index import LETTERS
from restante.store.names import renewed
from restante.store.records import Added, Kind
from restante.store.scan import (
    Found,
    delivery_order,
    directory_mtime,
    examine,
    list_directory,
    split,
)
from restante.store.transaction import Transaction

_ROUNDS: Final = 6
_MANY: Final = 16
_NOTHING: Final = Imported()
_MAX_UIDL: Final = 70  # RFC 1939 section 7


def reconcile(turn: Transaction, *, force: bool = False) -> None:
    """Look at the directories as far as needed and commit what is found. `force`: look at both."""
    _Scan(turn).run(force)


class _Scan:
    """One reconciliation. Files that are found collect until all UIDs are given in one order."""

    def __init__(self, turn: Transaction) -> None:
        self.turn = turn
        self.found: dict[bytes, Found] = {}  # by base
        self.hopeless: set[bytes] = set()  # names in new/ that are no messages

    def run(self, force: bool) -> None:
        turn = self.turn
        folder = turn.folder
        for attempt in range(_ROUNDS):
            new_mtime = directory_mtime(folder, "new")
            cur_mtime = directory_mtime(folder, "cur")
            first = force and not attempt
            look_new = first or new_mtime != turn.new_mtime or not turn.new_settled
            look_cur = first or turn.cur_is_due(cur_mtime)
            if not (look_new or look_cur):
                break
            clock = turn.journal.clock()
            # new/ before cur/: a file that moves meanwhile is in one of the two listings.
            names = []
            if look_new:
                names = [n for n in list_directory(folder, "new") if n not in self.hopeless]
            if look_cur:
                turn.cur_mtime, turn.cur_settled = cur_mtime, clock > cur_mtime
                self._compare_cur()
            moved = self._take_new(names)
            if look_new:
                turn.new_mtime = new_mtime
                turn.new_settled = clock > new_mtime and not moved
            if not moved:
                break
        self._give_uids()
        turn.commit(wait_for_room=True)

    # --- new/ -----------------------------------------------------------------------------------

    def _take_new(self, names: list[bytes]) -> bool:
        """Move messages to cur/. Returns whether something moved, by us or by another host."""
        turn = self.turn
        columns = turn.index.columns
        known = columns.index_bases().get if len(names) > _MANY else columns.uid_of_base
        moved = False
        for name in names:
            found = examine(turn.folder, "new", name)
            if found is None:
                # Gone: another host won, and cur/ will show it. A directory: never a message.
                if self._exists("new", name):
                    self.hopeless.add(name)
                else:
                    moved = True
                continue
            target = found.base + b":2," + LETTERS[found.flags]
            uid = known(found.base) or 0
            if uid:
                row = columns.find(uid)
                target = turn.index.filename(row, columns)
            with turn.changing_cur():
                there = self._name_in_cur(found.base) if uid or found.base in self.found else None
                if there is not None:
                    if self._is_link(name, there):
                        os.unlink(os.path.join(b"new", name), dir_fd=turn.folder)
                        moved = True
                        continue
                    found = _renamed(found)
                    target = found.name
                    uid = 0
                try:
                    _rename(turn.folder, "new", name, "cur", target)
                except FileNotFoundError:
                    moved = True
                    continue
            moved = True
            if not uid:
                self.found[found.base] = found._replace(name=target, in_new=False)
        return moved

    def _exists(self, directory: str, name: bytes) -> bool:
        return name in list_directory(self.turn.folder, directory)

    def _name_in_cur(self, base: bytes) -> bytes | None:
        """Tell by listing which file of this base name cur/ has."""
        names = list_directory(self.turn.folder, "cur")
        return next((n for n in names if n.partition(b":2,")[0] == base), None)

    def _is_link(self, name: bytes, there: bytes) -> bool:
        """Tell whether a name in new/ is a second link of a file in cur/."""
        folder = self.turn.folder
        inode = _inode(folder, "cur", there)
        # Asked in this order, a file that is renamed from new/ to cur/ meanwhile is not taken for
        # two: what is in cur/ does not come back to new/.
        return inode is not None and inode == _inode(folder, "new", name)

    # --- cur/ -----------------------------------------------------------------------------------

    def _compare_cur(self) -> None:
        """List cur/ and look at the names that are not the ones we expect."""
        turn = self.turn
        index = turn.index
        columns = index.columns
        names = set(list_directory(turn.folder, "cur"))
        expected = index.all_filenames()
        rest = names.difference(expected)
        missing: dict[bytes, int] = {}  # base -> uid
        if len(names) - len(rest) < len(expected):
            missing = {
                columns.base(row): columns.uids[row]
                for row, name in enumerate(expected)
                if name not in names
            }
        known = columns.index_bases().get if len(rest) > _MANY else columns.uid_of_base
        renamed: dict[int, bytes] = {}
        unknown: dict[bytes, bytes] = {}  # base -> name
        doubles: list[tuple[bytes, bytes]] = []
        for name in rest:
            base = name.partition(b":2,")[0]
            uid = known(base) or 0
            if not uid:
                if base in self.found and self.found[base].name == name:
                    continue
                if base in unknown:
                    doubles.append((unknown[base], name))
                else:
                    unknown[base] = name
            elif base not in missing:
                doubles.append((expected[columns.find(uid)], name))
            elif uid in renamed:
                doubles.append((renamed[uid], name))
            else:
                renamed[uid] = name
        for first, second in doubles:
            self._resolve_double(first, second, renamed, unknown)
        for uid in renamed:
            missing.pop(columns.base(columns.find(uid)), None)
        if missing:
            self._second_look(missing, renamed)
        self._take_names(renamed)
        for base, name in unknown.items():
            found = examine(turn.folder, "cur", name)
            if found is not None:
                self.found[base] = found

    def _second_look(self, missing: dict[bytes, int], renamed: dict[int, bytes]) -> None:
        """Expunge what two listings in a row do not show."""
        turn = self.turn
        for directory in ("new", "cur"):
            for name in list_directory(turn.folder, directory):
                base = name.partition(b":2,")[0]
                uid = missing.pop(base, 0)
                if uid and directory == "cur":
                    renamed[uid] = name
        if missing:
            turn.expunge(list(missing.values()))

    def _take_names(self, renamed: dict[int, bytes]) -> None:
        """Take over flags, and file names that do not follow from base and flags."""
        turn = self.turn
        columns = turn.index.columns
        odd = turn.index.filenames or {}
        changed: list[tuple[int, int, int]] = []
        names: list[tuple[int, bytes]] = []
        for uid in sorted(renamed):
            name = renamed[uid]
            row = columns.find(uid)
            base, flags = split(name)
            if flags != columns.flags[row]:
                changed.append((uid, flags, columns.keyword_bits[row]))
            usual = base + b":2," + LETTERS[flags]
            if name != usual and odd.get(uid) != name:
                names.append((uid, name))
            elif name == usual and uid in odd:
                names.append((uid, b""))
        if changed:
            turn.next_modseq()
            turn.emit(Kind.FLAGS, records.pack_flags(changed))
        if names:
            turn.emit(Kind.FILENAME, records.pack_texts(names))

    def _resolve_double(
        self,
        first: bytes,
        second: bytes,
        renamed: dict[int, bytes],
        unknown: dict[bytes, bytes],
    ) -> None:
        """Two names of one base: one file renamed while we listed, two links, or two messages.

        Nothing is unlinked on the word of a listing: the second name gets a base of its own first,
        and only if the first one still leads to the same file then, it was a mere link.
        """
        turn = self.turn
        one = _inode(turn.folder, "cur", first)
        two = _inode(turn.folder, "cur", second)
        base = first.partition(b":2,")[0]
        uid = turn.index.columns.uid_of_base(base)
        if one is None and two is not None:
            if uid:
                renamed[uid] = second
            else:
                unknown[base] = second
            return
        found = examine(turn.folder, "cur", second)
        if one is None or two is None or found is None:
            return
        found = _renamed(found)
        with turn.changing_cur(), suppress(FileNotFoundError):
            _rename(turn.folder, "cur", second, "cur", found.name)
            if one != two:
                self.found[found.base] = found
            elif _inode(turn.folder, "cur", first) == two:
                os.unlink(os.path.join(b"cur", found.name), dir_fd=turn.folder)
            else:
                _rename(turn.folder, "cur", found.name, "cur", second)

    # --- UIDs -----------------------------------------------------------------------------------

    def _give_uids(self) -> None:
        turn = self.turn
        imported = _NOTHING
        if turn.importing:
            turn.importing = False
            imported = import_folder(turn.folder)
            self._import_numbers(imported)
        if not self.found:
            return
        turn.next_modseq()
        words = bool(imported.keywords or imported.letters)
        uidls: list[tuple[int, bytes]] = []
        names: list[tuple[int, bytes]] = []
        taken: set[str] = set()
        for uid, found in _in_order(self.found.values(), imported, turn.uidnext):
            base = os.fsdecode(found.base)
            turn.add(
                Added(
                    uid,
                    found.flags,
                    _keyword_bits(turn, imported, base, found.name) if words else 0,
                    found.wire_size,
                    found.date,
                    found.base,
                )
            )
            if found.name != found.base + b":2," + LETTERS[found.flags]:
                names.append((uid, found.name))
            uidl = imported.uidls.get(base)
            if uidl and uidl not in taken and len(uidl) <= _MAX_UIDL:
                taken.add(uidl)
                uidls.append((uid, uidl.encode("utf-8", "surrogateescape")))
        turn.uidnext = max(turn.uidnext, imported.uidnext)
        if names:
            turn.emit(Kind.FILENAME, records.pack_texts(names))
        if uidls:
            turn.emit(Kind.UIDL, records.pack_texts(uidls))

    def _import_numbers(self, imported: Imported) -> None:
        turn = self.turn
        if imported.uidvalidity:
            turn.index.uidvalidity = imported.uidvalidity
            note_uidvalidity(turn.mailbox.owner.maildir, imported.uidvalidity)
            # What other servers knew, no session of ours sees for the first time.
            turn.emit(Kind.RECENT, records.pack_number(max(imported.uidnext, 1)))


def _keyword_bits(turn: Transaction, imported: Imported, base: str, name: bytes) -> int:
    """Return the bits of imported keywords; those beyond the limit of a folder are left out."""
    words = list(imported.keywords.get(base, ()))
    if imported.letters:
        letters = name.partition(b":2,")[2].partition(b",")[0].decode("latin-1")
        words += [imported.letters[c] for c in letters if c in imported.letters]
    mask = 0
    for word in words:
        with suppress(MailError):
            mask |= turn.keyword_mask((word,))
    return mask


def _in_order(
    found: Iterable[Found], imported: Imported, uidnext: int
) -> Iterable[tuple[int, Found]]:
    """Yield UIDs, ascending: imported ones first, then new ones in the order of delivery."""
    known: list[tuple[int, Found]] = []
    new: list[Found] = []
    for item in found:
        uid = imported.uids.get(os.fsdecode(item.base), 0) if imported.uids else 0
        if uid:
            known.append((uid, item))
        else:
            new.append(item)
    known.sort(key=lambda pair: pair[0])
    yield from known
    uid = max(uidnext, imported.uidnext)
    for item in sorted(new, key=delivery_order):
        yield uid, item
        uid += 1


def _renamed(found: Found) -> Found:
    """Give a file a base name of its own, keeping sizes and flags."""
    base = renewed(found.base)
    name = base + b":2," + LETTERS[found.flags]
    return found._replace(base=base, name=name)


def _rename(folder: int, source: str, name: bytes, target: str, new_name: bytes) -> None:
    """Rename a message. FileNotFoundError where somebody else renamed or removed it."""
    try:
        os.rename(
            os.path.join(source.encode(), name),
            os.path.join(target.encode(), new_name),
            src_dir_fd=folder,
            dst_dir_fd=folder,
        )
    except OSError as error:
        if error.errno in GONE:
            raise FileNotFoundError(*error.args) from error
        raise


def _inode(folder: int, directory: str, name: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(
            os.path.join(directory.encode(), name), dir_fd=folder, follow_symlinks=False
        )
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    return status.st_dev, status.st_ino
