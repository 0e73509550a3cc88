"""What FETCH asks for (RFC 3501 section 6.4.5, RFC 3516, RFC 7162).

Items without arguments are bits of one mask, so that a session can compare a whole request
with one number; what returns octets is a Section that carries its own answer label.
"""

import re
from dataclasses import dataclass, replace
from enum import Enum, IntFlag
from functools import lru_cache
from typing import Final

from restante.wire.imap.cursor import BadSyntaxError, Cursor
from restante.wire.imap.encode import astring
from restante.wire.imap.limits import AUTHENTICATED


class FetchAtt(IntFlag):
    """Items without arguments."""

    UID = 1
    FLAGS = 2
    INTERNALDATE = 4
    SIZE = 8  # RFC822.SIZE
    ENVELOPE = 16
    BODYSTRUCTURE = 32
    BODY = 64  # BODY without brackets: the structure without extension data
    MODSEQ = 128


class SectionText(Enum):
    """Which octets of the message or part."""

    ALL = "all"  # BODY[], BODY[1.2]
    HEADER = "header"
    FIELDS = "fields"  # HEADER.FIELDS
    FIELDS_NOT = "fields_not"  # HEADER.FIELDS.NOT
    TEXT = "text"
    MIME = "mime"


class Transfer(Enum):
    """In which form the octets go out."""

    RAW = "raw"  # BODY[...], RFC822...
    DECODED = "decoded"  # BINARY[...]
    DECODED_SIZE = "decoded_size"  # BINARY.SIZE[...]


@dataclass(frozen=True, slots=True)
class Section:
    """One BODY[...], RFC822..., BINARY[...] item.

    `label` is the item's name in the answer, ready to send, origin octet included:
    b"BODY[HEADER.FIELDS (FROM TO)]<0>". `partial` is (offset, octets) or None.
    """

    label: bytes
    part: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[bytes, ...] = ()  # upper case, in the order asked
    peek: bool = False
    partial: tuple[int, int] | None = None
    transfer: Transfer = Transfer.RAW


@dataclass(frozen=True, slots=True)
class FetchItems:
    """A whole request."""

    mask: FetchAtt
    sections: tuple[Section, ...] = ()

    def including(self, bits: int) -> "FetchItems":
        """Return these items and those of a mask."""
        if self.mask.value & bits == bits:
            return self
        return FetchItems(FetchAtt(self.mask.value | bits), self.sections)

    @property
    def sets_seen(self) -> bool:
        r"""True if the answer sets \Seen on a mailbox open for writing."""
        return any(not s.peek and s.transfer is not Transfer.DECODED_SIZE for s in self.sections)


_ITEM: Final = re.compile(rb"[A-Za-z0-9.]+").match
_PART: Final = re.compile(rb"[1-9]\d{0,8}(?:\.[1-9]\d{0,8})*").match
_TEXT: Final = re.compile(rb"[A-Za-z.]+").match
_PARTIAL: Final = re.compile(rb"<(\d{1,18})\.(\d{1,18})>").match

_MEMO_OCTETS: Final = 300
_MAX_SECTIONS: Final = 100
_MAX_FIELDS: Final = 200
_MAX_DEPTH: Final = 100

_NO_ATT: Final = FetchAtt(0)
_FAST: Final = FetchAtt.FLAGS | FetchAtt.INTERNALDATE | FetchAtt.SIZE
_ATTS: Final = {
    b"UID": FetchAtt.UID,
    b"FLAGS": FetchAtt.FLAGS,
    b"INTERNALDATE": FetchAtt.INTERNALDATE,
    b"RFC822.SIZE": FetchAtt.SIZE,
    b"ENVELOPE": FetchAtt.ENVELOPE,
    b"BODYSTRUCTURE": FetchAtt.BODYSTRUCTURE,
    b"BODY": FetchAtt.BODY,
    b"MODSEQ": FetchAtt.MODSEQ,
}
_MACROS: Final = {
    b"FAST": _FAST,
    b"ALL": _FAST | FetchAtt.ENVELOPE,
    b"FULL": _FAST | FetchAtt.ENVELOPE | FetchAtt.BODY,
}
_RFC822: Final = {
    b"RFC822": Section(b"RFC822"),
    b"RFC822.HEADER": Section(b"RFC822.HEADER", text=SectionText.HEADER, peek=True),
    b"RFC822.TEXT": Section(b"RFC822.TEXT", text=SectionText.TEXT),
}
_BRACKETED: Final = {
    b"BODY": (b"BODY", False, Transfer.RAW),
    b"BODY.PEEK": (b"BODY", True, Transfer.RAW),
    b"BINARY": (b"BINARY", False, Transfer.DECODED),
    b"BINARY.PEEK": (b"BINARY", True, Transfer.DECODED),
    b"BINARY.SIZE": (b"BINARY.SIZE", True, Transfer.DECODED_SIZE),
}
_TEXTS: Final = {
    b"HEADER": SectionText.HEADER,
    b"HEADER.FIELDS": SectionText.FIELDS,
    b"HEADER.FIELDS.NOT": SectionText.FIELDS_NOT,
    b"TEXT": SectionText.TEXT,
    b"MIME": SectionText.MIME,
}


def read_items(c: Cursor) -> FetchItems:
    """Read a macro, one item or a list of items. Repeated items count once."""
    tail = c.data[c.at :]
    # Clients ask for the same few lists again and again.
    if len(tail) > _MEMO_OCTETS or b"{" in tail:
        return _read_items(c)
    items, used = _memo(tail, c.limits.nesting)
    c.at += used
    return items


@lru_cache(maxsize=256)
def _memo(tail: bytes, nesting: int) -> tuple[FetchItems, int]:
    c = Cursor(tail, replace(AUTHENTICATED, nesting=nesting))
    return _read_items(c), c.at


def _read_items(c: Cursor) -> FetchItems:
    if not c.sees(b"("):
        found = _ITEM(c.data, c.at)
        macro = _MACROS.get(found[0].upper()) if found is not None else None
        if found is not None and macro is not None:
            c.at = found.end()
            return FetchItems(macro)
        one = _item(c)
        return FetchItems(_NO_ATT, (one,)) if isinstance(one, Section) else FetchItems(one)
    c.open()
    mask = 0
    sections: dict[Section, None] = {}
    while True:
        item = _item(c)
        if isinstance(item, Section):
            sections[item] = None
            if len(sections) > _MAX_SECTIONS:
                raise BadSyntaxError("too many items")
        else:
            mask |= item.value
        if c.close():
            break
    return FetchItems(FetchAtt(mask), tuple(sections))


def _item(c: Cursor) -> FetchAtt | Section:
    found = _ITEM(c.data, c.at)
    if found is None:
        raise BadSyntaxError("fetch item expected")
    name = found[0].upper()
    c.at = found.end()
    if c.take(b"["):
        bracketed = _BRACKETED.get(name)
        if bracketed is None:
            raise BadSyntaxError("unknown fetch item")
        return _section(c, *bracketed)
    item = _ATTS.get(name) or _RFC822.get(name)
    if item is None:
        raise BadSyntaxError("unknown fetch item")
    return item


def _section(c: Cursor, word: bytes, peek: bool, transfer: Transfer) -> Section:
    label = [word, b"["]
    part: tuple[int, ...] = ()
    text = SectionText.ALL
    fields: list[bytes] = []
    numbers = _PART(c.data, c.at)
    if numbers is not None:
        c.at = numbers.end()
        part = tuple(map(int, numbers[0].split(b".")))
        if len(part) > _MAX_DEPTH:
            raise BadSyntaxError("part number is too deep")
        label.append(numbers[0])
    named = _TEXT(c.data, c.at)
    if named is not None:
        c.at = named.end()
        name = named[0].upper()
        if part:
            if name[:1] != b".":
                raise BadSyntaxError("bad section")
            label.append(b".")
            name = name[1:]
        known = _TEXTS.get(name)
        if known is None or transfer is not Transfer.RAW:
            raise BadSyntaxError("bad section")
        if known is SectionText.MIME and not part:
            raise BadSyntaxError("MIME needs a part number")
        text = known
        label.append(name)
        if text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
            c.sp()
            fields = _fields(c)
            label.append(b" (%b)" % b" ".join(map(astring, fields)))
    if not c.take(b"]"):
        raise BadSyntaxError("bad section")
    label.append(b"]")
    partial: tuple[int, int] | None = None
    if c.sees(b"<"):
        octets = _PARTIAL(c.data, c.at)
        if octets is None or transfer is Transfer.DECODED_SIZE or not int(octets[2]):
            raise BadSyntaxError("bad partial range")
        c.at = octets.end()
        partial = int(octets[1]), int(octets[2])
        label.append(b"<%d>" % partial[0])
    upper = tuple(field.upper() for field in fields)
    return Section(b"".join(label), part, text, upper, peek, partial, transfer)


def _fields(c: Cursor) -> list[bytes]:
    fields: dict[bytes, None] = {}
    c.open()
    while True:
        # A client that quotes the colon in, or a space, asks for a field that no message has.
        fields[c.astring()] = None
        if len(fields) > _MAX_FIELDS:
            raise BadSyntaxError("too many fields")
        if c.close():
            return list(fields)
