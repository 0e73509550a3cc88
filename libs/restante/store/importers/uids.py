"""The UID lists of other servers as plain values: courierimapuiddb and dovecot-uidlist.

Both are text. Formats: reference facts of Courier ("1 <uidvalidity> <nextuid>", then
"<uid> <base>") and Dovecot ("3 V<uidvalidity> N<next> G<guid>", then "<uid> [ext...] :<name>";
version 1 is Courier's).
"""

from dataclasses import dataclass, field
from typing import Final

_LIMIT: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class UidList:
    """A mapping of messages to UIDs. `uidls` holds only what POP3 clients saw from that server."""

    uidvalidity: int
    uidnext: int  # above every UID in `uids`
    uids: dict[str, int] = field(default_factory=dict)
    uidls: dict[str, str] = field(default_factory=dict)


def base_of(filename: str) -> str:
    """Return a message's base name: the file name before ":2,"."""
    return filename.partition(":2,")[0]


def parse_number(text: str) -> int:
    """Return an IMAP number (1..2^32-1), or 0 where the text is none."""
    if text.isascii() and text.isdigit() and len(text) <= 10:
        value = int(text)
        return value if value < _LIMIT else 0
    return 0


def decode(data: bytes) -> str:
    """Decode a list as file names are: UTF-8 with surrogates for the rest, so nothing is lost."""
    return data.decode("utf-8", "surrogateescape")


def parse_courier_uiddb(data: bytes) -> UidList | None:
    """Parse courierimapuiddb; None where the first line is no header of it."""
    lines = decode(data).split("\n")
    head = lines[0].split()
    if len(head) != 3 or head[0] != "1":
        return None
    uidvalidity, uidnext = parse_number(head[1]), parse_number(head[2])
    if not uidvalidity:
        return None
    return _courier_rows(lines[1:], uidvalidity, uidnext)


def _courier_rows(lines: list[str], uidvalidity: int, uidnext: int) -> UidList:
    rows: list[tuple[int, str, str | None]] = []
    for line in lines:
        number, _, name = line.partition(" ")
        uid = parse_number(number)
        if uid and _is_name(name):
            rows.append((uid, base_of(name), None))
    return _checked(rows, uidvalidity, uidnext)


def parse_dovecot_uidlist(data: bytes) -> UidList | None:
    """Parse dovecot-uidlist of version 1 or 3; None where the first line is no header of it.

    The UIDL of a message is its P extension, else what Dovecot sends by default (%08Xu%08Xv: UID
    and UIDVALIDITY in eight hexadecimal digits each).
    """
    lines = decode(data).split("\n")
    head = lines[0].split(" ")
    if head[0] == "1":
        listed = parse_courier_uiddb(data)
        if listed is None:
            return None
        uidls = {b: default_uidl(u, listed.uidvalidity) for b, u in listed.uids.items()}
        return UidList(listed.uidvalidity, listed.uidnext, listed.uids, uidls)
    if head[0] != "3":
        return None
    keys = {item[0]: item[1:] for item in head[1:] if item}
    uidvalidity, uidnext = parse_number(keys.get("V", "")), parse_number(keys.get("N", ""))
    if not uidvalidity:
        return None
    rows: list[tuple[int, str, str | None]] = []
    for line in lines[1:]:
        fields, mark, name = line.partition(" :")
        number, *extensions = fields.split(" ")
        uid = parse_number(number)
        if not (mark and uid and _is_name(name)):
            continue
        uidl = next((item[1:] for item in extensions if item[:1] == "P" and len(item) > 1), None)
        rows.append((uid, base_of(name), uidl or default_uidl(uid, uidvalidity)))
    return _checked(rows, uidvalidity, uidnext)


def default_uidl(uid: int, uidvalidity: int) -> str:
    """Return Dovecot's UIDL of a message where nothing else was configured."""
    return f"{uid:08x}{uidvalidity:08x}"


def _is_name(name: str) -> bool:
    return bool(name) and "/" not in name and "\0" not in name


def _checked(rows: list[tuple[int, str, str | None]], uidvalidity: int, uidnext: int) -> UidList:
    """Keep the first row of each UID and base; a torn or merged list may repeat them."""
    uids: dict[str, int] = {}
    uidls: dict[str, str] = {}
    used: set[int] = set()
    for uid, base, uidl in rows:
        if uid in used or base in uids:
            continue
        used.add(uid)
        uids[base] = uid
        if uidl is not None:
            uidls[base] = uidl
    # A row that was appended after a crash may be ahead of the header.
    return UidList(uidvalidity, max(uidnext, max(used, default=0) + 1), uids, uidls)
