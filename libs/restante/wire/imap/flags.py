r"""Flags that clients send (RFC 3501 section 2.3.2): system flags as a mask, keywords as text."""

import re
from typing import Final

from restante.model import NO_FLAGS, Flag
from restante.model.flag import IMAP_NAMES
from restante.wire.imap.cursor import BadSyntaxError, Cursor

_FLAG: Final = re.compile(rb"\\?[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+").match
_SYSTEM: Final = {name.upper().encode(): bit.value for bit, name in IMAP_NAMES.items()}
_MAX_KEYWORDS: Final = 64
_MAX_LENGTH: Final = 100


def read_flag_list(c: Cursor) -> tuple[Flag, tuple[str, ...]]:
    r"""Read `(\Seen key ...)`."""
    c.open()
    if c.empty():
        return NO_FLAGS, ()
    return _flags(c, in_list=True)


def read_flags(c: Cursor) -> tuple[Flag, tuple[str, ...]]:
    r"""Read a flag list or bare flags up to the end of the command, as STORE allows."""
    if c.sees(b"("):
        return read_flag_list(c)
    return _flags(c, in_list=False)


def _flags(c: Cursor, *, in_list: bool) -> tuple[Flag, tuple[str, ...]]:
    mask = 0
    keywords: dict[str, str] = {}
    while True:
        found = _FLAG(c.data, c.at)
        if found is None:
            raise BadSyntaxError("flag expected")
        c.at = found.end()
        name = found[0]
        bit = _SYSTEM.get(name.upper())
        if bit is not None:
            mask |= bit
        elif name[:1] == b"\\":
            # \Recent belongs to the session: asking for it changes nothing.
            if name.upper() != b"\\RECENT":
                raise BadSyntaxError("unknown system flag")
        elif len(name) > _MAX_LENGTH or len(keywords) >= _MAX_KEYWORDS:
            raise BadSyntaxError("too many or too long keywords", status="NO", code="LIMIT")
        else:
            text = name.decode("ascii")
            keywords.setdefault(text.lower(), text)
        if in_list:
            if c.close():
                break
        elif c.at_end():
            break
        else:
            c.sp()
    return Flag(mask), tuple(keywords.values())
