"""Everything that other servers know of one folder, gathered for its first opening."""

import os
from dataclasses import dataclass, field

from restante.store.importers.keywords import (
    parse_courier_keywords,
    parse_dovecot_keywords,
    read_pending,
)
from restante.store.importers.pop3 import parse_courier_sizelist
from restante.store.importers.uids import (
    UidList,
    parse_courier_uiddb,
    parse_dovecot_uidlist,
)
from restante.store.layout import opened, read_plain

_MAX_BYTES = 256 << 20  # a list of two million messages; anything larger is damage


@dataclass(frozen=True, slots=True)
class Imported:
    """What was found. Zero and empty mean: nothing known, choose yourself."""

    uidvalidity: int = 0
    uidnext: int = 0  # 0, or above every UID in `uids`
    uids: dict[str, int] = field(default_factory=dict)  # by base
    uidls: dict[str, str] = field(default_factory=dict)  # by base; POP3 unique ids
    wire_sizes: dict[str, int] = field(default_factory=dict)  # by base; bytes with CRLF
    keywords: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by base
    letters: dict[str, str] = field(default_factory=dict)  # Dovecot: file name letter -> keyword

    def __bool__(self) -> bool:
        return bool(self.uidvalidity or self.uidls or self.keywords or self.letters)


def import_folder(folder: int) -> Imported:
    """Read the lists in the folder directory open as `folder`. BLOCKING; never raises OSError.

    `keywords` covers Courier's files. Dovecot's keywords are the letters a-z in the names of the
    messages, of which `letters` tells the meaning.
    """
    uidlist = _uids(folder)
    sizelist = parse_courier_sizelist(_read(folder, "courierpop3dsizelist"))
    uidls = dict(uidlist.uidls) if uidlist else {}
    uidls.update(sizelist.uidls)
    keywords = parse_courier_keywords(_read(folder, "courierimapkeywords/:list"))
    keywords.update(read_pending(folder))
    letters = parse_dovecot_keywords(_read(folder, "dovecot-keywords"))
    return Imported(
        uidvalidity=uidlist.uidvalidity if uidlist else 0,
        uidnext=uidlist.uidnext if uidlist else 0,
        uids=uidlist.uids if uidlist else {},
        uidls=uidls,
        wire_sizes=sizelist.wire_sizes,
        keywords={base: words for base, words in keywords.items() if words},
        letters=letters,
    )


def _uids(folder: int) -> UidList | None:
    found: list[tuple[int, UidList]] = []
    for name, parse in (
        ("courierimapuiddb", parse_courier_uiddb),
        ("dovecot-uidlist", parse_dovecot_uidlist),
    ):
        listed = parse(_read(folder, name))
        if listed is not None:
            found.append((_mtime(folder, name), listed))
    return max(found, key=lambda item: item[0])[1] if found else None


def _mtime(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _read(folder: int, name: str) -> bytes:
    """Return a file's bytes, b"" where it is missing, cannot be read or is larger than any list."""
    directory, _, base = name.rpartition("/")
    try:
        with opened(directory or ".", folder) as parent:
            data = read_plain(parent, base, _MAX_BYTES + 1)
    except OSError:
        return b""
    return data if data and len(data) <= _MAX_BYTES else b""
