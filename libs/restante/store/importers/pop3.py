"""Courier's courierpop3dsizelist: the UIDLs that POP3 clients know, and sizes with CRLF.

Version 3 is "/3 <next> <uidv>", then "<filename> <CRLF size> <n>:<uidv>:<isutf8>" a line; version
2 lacks the last field. A message's UIDL is "UID<n>-<uidv>", "UID<n>" where uidv is 0, and the
escaped file name where n is 0.
"""

from dataclasses import dataclass, field
from typing import Final

from restante.store.importers.uids import base_of, decode

_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,-_=:/")
_MAX_UIDL: Final = 70  # RFC 1939 section 7


@dataclass(frozen=True, slots=True)
class SizeList:
    """UIDLs and wire sizes by base name."""

    uidls: dict[str, str] = field(default_factory=dict)
    wire_sizes: dict[str, int] = field(default_factory=dict)


def parse_courier_sizelist(data: bytes) -> SizeList:
    """Parse a list of version 2 or 3; any other data is an empty one."""
    result = SizeList()
    lines = decode(data).split("\n")
    if lines[0].split(" ")[0] not in ("/2", "/3"):
        return result
    taken: set[str] = set()
    for line in lines[1:]:
        name, size, ids = [*line.rsplit(" ", 2), "", "", ""][:3]
        numbers = ids.split(":")
        if not (name and "/" not in name and _is_number(size) and 2 <= len(numbers) <= 3):
            continue
        if not (_is_number(numbers[0]) and _is_number(numbers[1])):
            continue
        base = base_of(name)
        uidl = _uidl(base, int(numbers[0]), int(numbers[1]))
        if base in result.wire_sizes:
            continue
        result.wire_sizes[base] = int(size)
        if uidl not in taken and len(uidl) <= _MAX_UIDL:
            taken.add(uidl)
            result.uidls[base] = uidl
    return result


def _uidl(base: str, n: int, uidvalidity: int) -> str:
    if n and uidvalidity:
        return f"UID{n}-{uidvalidity}"
    if n:
        return f"UID{n}"
    return "".join(c if c in _PLAIN else _escaped(c) for c in base)


def _escaped(character: str) -> str:
    raw = character.encode("utf-8", "surrogateescape")
    return "".join(f"+{byte:02X}" for byte in raw)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
