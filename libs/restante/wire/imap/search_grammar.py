"""Reading search keys (RFC 3501 section 6.4.4, RFC 5032, RFC 7162 section 3.1.5).

Depth and number of keys are bounded, since both are the client's choice and the tree is walked
by recursion for every message.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Final

from restante.model import Flag
from restante.model.flag import IMAP_NAMES
from restante.wire.imap import search_keys as k
from restante.wire.imap.cursor import BadSyntaxError, Cursor
from restante.wire.imap.dates import parse_date

_MAX_DEPTH: Final = 150
_MAX_KEYS: Final = 1000
_MAX_NUMBER: Final = (1 << 32) - 1

# Fixed, so that no client makes us import codecs, and none is lossy or stateful.
_CODECS: Final = {
    "US-ASCII": "utf-8",
    "ASCII": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    **{f"ISO-8859-{n}": f"iso8859-{n}" for n in range(1, 17) if n != 12},
    **{f"WINDOWS-{n}": f"cp{n}" for n in range(1250, 1259)},
    "KOI8-R": "koi8-r",
    "KOI8-U": "koi8-u",
    "SHIFT_JIS": "shift_jis",
    "EUC-JP": "euc-jp",
    "EUC-KR": "euc-kr",
    "GB2312": "gb2312",
    "GBK": "gbk",
    "GB18030": "gb18030",
    "BIG5": "big5",
}

_KEY: Final = re.compile(rb"[A-Za-z]+").match
_MODSEQ_FLAG: Final = re.compile(rb'"/flags/[^"\r\n]{1,200}" +(?:priv|shared|all) +', re.I).match


def codec_of(charset: bytes) -> str:
    """Return Python's codec for a charset name. Raises BadSyntaxError NO [BADCHARSET]."""
    codec = _CODECS.get(charset.decode("ascii", "replace").upper())
    if codec is None:
        raise BadSyntaxError(
            "unknown charset", status="NO", code="BADCHARSET (US-ASCII UTF-8 ISO-8859-1)"
        )
    return codec


def read_keys(c: Cursor, codec: str) -> k.SearchKey:
    """Read keys up to the end of the command; several mean all of them."""
    reader = _Reader(c, codec)
    keys = [reader.key(0)]
    while not c.at_end():
        c.sp()
        keys.append(reader.key(0))
    return keys[0] if len(keys) == 1 else k.And(tuple(keys))


class _Reader:
    __slots__ = ("c", "codec", "count")

    def __init__(self, c: Cursor, codec: str) -> None:
        self.c = c
        self.codec = codec
        self.count = 0

    def key(self, depth: int) -> k.SearchKey:
        c = self.c
        self.count += 1
        if depth > _MAX_DEPTH or self.count > _MAX_KEYS:
            raise BadSyntaxError("search is too complex", status="NO", code="LIMIT")
        if c.sees(b"("):
            return self._list(depth)
        found = _KEY(c.data, c.at)
        if found is None:
            return k.Messages(c.sequence_set())
        c.at = found.end()
        name = found[0].upper()
        plain = _PLAIN.get(name)
        if plain is not None:
            return plain
        if name == b"NOT":
            c.sp()
            return k.Not(self.key(depth + 1))
        if name == b"OR":
            c.sp()
            left = self.key(depth + 1)
            c.sp()
            return k.Or(left, self.key(depth + 1))
        with_argument = _WITH_ARGUMENT.get(name)
        if with_argument is None:
            raise BadSyntaxError("unknown search key")
        c.sp()
        return with_argument(self)

    def _list(self, depth: int) -> k.SearchKey:
        c = self.c
        c.open()
        keys = [self.key(depth + 1)]
        while not c.close():
            keys.append(self.key(depth + 1))
        return keys[0] if len(keys) == 1 else k.And(tuple(keys))

    def text(self) -> str:
        raw = self.c.astring()
        try:
            return raw.decode(self.codec)
        except UnicodeDecodeError as fault:
            raise BadSyntaxError("text is not in the charset") from fault

    def day(self, make: Callable[[k.Compare, date], k.SearchKey], how: k.Compare) -> k.SearchKey:
        try:
            return make(how, parse_date(self.c.astring()))
        except ValueError as fault:
            raise BadSyntaxError("bad date") from fault

    def header(self) -> k.SearchKey:
        field = self.c.astring().lower()
        self.c.sp()
        return k.Header(field, self.text())

    def flag(self, *, unset: bool) -> k.SearchKey:
        name = self.c.atom()
        bit = _KEYWORD_FLAGS.get(name.upper())
        key: k.SearchKey = k.HasKeyword(name.decode("ascii")) if bit is None else k.HasFlag(bit)
        return k.Not(key) if unset else key

    def within(self, *, older: bool) -> k.SearchKey:
        seconds = self.c.number(_MAX_NUMBER)
        if not seconds:
            raise BadSyntaxError("interval is zero")
        return k.Within(older, seconds)

    def modseq(self) -> k.SearchKey:
        # Per-flag mod-sequences are not kept; the RFC allows to fall back to the message's.
        entry = _MODSEQ_FLAG(self.c.data, self.c.at)
        if entry is not None:
            self.c.at = entry.end()
        return k.ModSeq(self.c.number())


def _has(flag: Flag) -> k.SearchKey:
    return k.HasFlag(flag)


def _lacks(flag: Flag) -> k.SearchKey:
    return k.Not(k.HasFlag(flag))


def _field(name: bytes) -> "Callable[[_Reader], k.SearchKey]":
    return lambda r: k.Header(name, r.text())


_KEYWORD_FLAGS: Final = {
    name.upper().encode(): bit for bit, name in IMAP_NAMES.items() if name[0] == "$"
}
_PLAIN: Final[dict[bytes, k.SearchKey]] = {
    b"ALL": k.All(),
    b"ANSWERED": _has(Flag.ANSWERED),
    b"DELETED": _has(Flag.DELETED),
    b"DRAFT": _has(Flag.DRAFT),
    b"FLAGGED": _has(Flag.FLAGGED),
    b"SEEN": _has(Flag.SEEN),
    b"UNANSWERED": _lacks(Flag.ANSWERED),
    b"UNDELETED": _lacks(Flag.DELETED),
    b"UNDRAFT": _lacks(Flag.DRAFT),
    b"UNFLAGGED": _lacks(Flag.FLAGGED),
    b"UNSEEN": _lacks(Flag.SEEN),
    b"RECENT": k.Recent(),
    b"OLD": k.Not(k.Recent()),
    b"NEW": k.And((k.Recent(), _lacks(Flag.SEEN))),
}
_WITH_ARGUMENT: Final[dict[bytes, Callable[[_Reader], k.SearchKey]]] = {
    b"BCC": _field(b"bcc"),
    b"CC": _field(b"cc"),
    b"FROM": _field(b"from"),
    b"SUBJECT": _field(b"subject"),
    b"TO": _field(b"to"),
    b"HEADER": _Reader.header,
    b"BODY": lambda r: k.Body(r.text()),
    b"TEXT": lambda r: k.Text(r.text()),
    b"BEFORE": lambda r: r.day(k.InternalDate, k.Compare.BEFORE),
    b"ON": lambda r: r.day(k.InternalDate, k.Compare.ON),
    b"SINCE": lambda r: r.day(k.InternalDate, k.Compare.SINCE),
    b"SENTBEFORE": lambda r: r.day(k.SentDate, k.Compare.BEFORE),
    b"SENTON": lambda r: r.day(k.SentDate, k.Compare.ON),
    b"SENTSINCE": lambda r: r.day(k.SentDate, k.Compare.SINCE),
    b"OLDER": lambda r: r.within(older=True),
    b"YOUNGER": lambda r: r.within(older=False),
    b"LARGER": lambda r: k.Larger(r.c.number()),
    b"SMALLER": lambda r: k.Smaller(r.c.number()),
    b"KEYWORD": lambda r: r.flag(unset=False),
    b"UNKEYWORD": lambda r: r.flag(unset=True),
    b"UID": lambda r: k.Uids(r.c.sequence_set()),
    b"MODSEQ": _Reader.modseq,
}
