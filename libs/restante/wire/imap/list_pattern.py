"""Matching mailbox names against LIST patterns (RFC 3501 section 6.3.8) in linear time.

The pattern is a row of states kept as bits of one integer; each octet of the name moves them all
at once. Work is (octets of the name) x (octets of the pattern / word size) for any pattern, so
that "*a*a*a*a...b" costs what any other does (CVE-2026-33607).
"""

import re
from typing import Final

_WILD_RUN: Final = re.compile(rb"[*%]{2,}")
MAX_PATTERN: Final = 1024


class ListPattern:
    """A compiled pattern over IMAP names as sent on the wire, such as b"INBOX.%"."""

    __slots__ = ("_accept", "_exact", "_folded", "_masks", "_percent", "_separator", "_star")

    def __init__(self, pattern: bytes, separator: bytes) -> None:
        """Compile. A pattern of more than MAX_PATTERN octets matches nothing."""
        self._separator = separator[0] if separator else -1
        if len(pattern) > MAX_PATTERN:
            pattern = b"\0"  # no name holds NUL
        pattern = _WILD_RUN.sub(lambda run: b"*" if b"*" in run[0] else b"%", pattern)
        self._exact = None if b"*" in pattern or b"%" in pattern else pattern
        masks: dict[int, int] = {}
        star = percent = 0
        for at, octet in enumerate(pattern):
            bit = 1 << at
            if octet == 0x2A:
                star |= bit
            elif octet == 0x25:
                percent |= bit
            else:
                masks[octet] = masks.get(octet, 0) | bit
        self._masks, self._star, self._percent = masks, star, percent
        self._accept = 1 << len(pattern)
        # INBOX is matched without regard to case, alone or as the first component.
        self._folded = {octet: masks.get(octet, 0) | masks.get(octet + 32, 0) for octet in b"INBOX"}

    def matches(self, name: bytes) -> bool:
        """True if the whole name matches."""
        head = 0
        if name[:5] == b"INBOX" and (len(name) == 5 or name[5] == self._separator):
            head = 5
        exact = self._exact
        if exact is not None:
            return exact[:head].upper() == name[:head] and exact[head:] == name[head:]
        masks, folded, separator = self._masks, self._folded, self._separator
        star, percent = self._star, self._percent
        wild = star | percent
        states = 1
        states |= (states & wild) << 1
        for at, octet in enumerate(name):
            stay = star if octet == separator else wild
            taken = folded[octet] if at < head else masks.get(octet, 0)
            states = ((states & taken) << 1) | (states & stay)
            if not states:
                return False
            states |= (states & wild) << 1
        return bool(states & self._accept)
