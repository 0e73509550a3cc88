"""Values as IMAP syntax (RFC 3501 section 9): strings, flags, dates, lists.

Every function returns octets that can go out as they are, whatever octets went in: what does
not fit a quoted string becomes a literal, and NUL, which fits neither, is left out of header
values. Message content goes out byte-exact by `literal`.
"""

import re
import time
from collections.abc import Sequence
from typing import Final

from restante.model.flag import IMAP_NAMES

NIL: Final = b"NIL"

_SAFE: Final = re.compile(rb"[\t !#-\[\]-~]*\Z").match  # goes between quotes as it is
_QUOTABLE: Final = re.compile(rb"[\t -~]*\Z").match
_QUOTABLE_UTF8: Final = re.compile(rb"[\t -~\x80-\xff]*\Z").match
_SPECIAL: Final = re.compile(rb'["\\]')
_ASTRING: Final = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+\Z").match
_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_YEAR_10000: Final = 253402300800


def string(value: bytes) -> bytes:
    """Return a quoted string or a literal. NUL octets are dropped."""
    if _SAFE(value):
        return b'"%b"' % value
    if _QUOTABLE(value):
        return b'"%b"' % _SPECIAL.sub(rb"\\\g<0>", value)
    return literal(value.replace(b"\0", b"")) if b"\0" in value else literal(value)


def nstring(value: bytes | None) -> bytes:
    """Return NIL for None, else as `string`."""
    return NIL if value is None else string(value)


def astring(value: bytes) -> bytes:
    """Return an atom where that is enough, else as `string`."""
    return value if _ASTRING(value) and value.upper() != NIL else string(value)


def mailbox(name: bytes) -> bytes:
    """Return a mailbox name: quoted always, as Courier writes it; UTF-8 stays in the quotes."""
    if _QUOTABLE_UTF8(name):
        return b'"%b"' % _SPECIAL.sub(rb"\\\g<0>", name)
    return string(name)


def literal(value: bytes) -> bytes:
    """Return `{n}` CRLF and the octets, untouched."""
    return b"{%d}\r\n%b" % (len(value), value)


def _names(mask: int) -> bytes:
    return b" ".join(name.encode() for bit, name in IMAP_NAMES.items() if mask & bit)


_FLAG_NAMES: Final = tuple(_names(mask) for mask in range(64))
_FLAG_LISTS: Final = tuple(b"(%b)" % names for names in _FLAG_NAMES)


def flag_list(flags: int, keywords: Sequence[str] = (), *, recent: bool = False) -> bytes:
    r"""Return `(\Seen $Forwarded key)`. `flags` is the mask of model.Flag."""
    if not keywords and not recent:
        return _FLAG_LISTS[flags]
    items = [_FLAG_NAMES[flags]] if flags else []
    items.extend(k.encode() for k in keywords)
    if recent:
        items.append(b"\\Recent")
    return b"(%b)" % b" ".join(items)


def internal_date(seconds: int) -> bytes:
    """Return Unix seconds as a quoted date-time in UTC. Years are held within 0001..9999."""
    if not 0 <= seconds < _YEAR_10000:
        seconds = 0 if seconds < 0 else _YEAR_10000 - 1
    t = time.gmtime(seconds)
    return b'"%2d-%b-%04d %02d:%02d:%02d +0000"' % (
        t.tm_mday,
        _MONTHS[t.tm_mon - 1],
        t.tm_year,
        t.tm_hour,
        t.tm_min,
        t.tm_sec,
    )
