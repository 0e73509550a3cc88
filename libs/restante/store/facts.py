"""What IMAP asks about a message again and again, ready to send, in one packed record.

A message never changes, so neither do its facts; they are computed once and kept in the folder's
cache (store.cache). A `Facts` is a view of a record inside a larger block of bytes: making ten
thousand of them copies nothing, and each attribute is one slice.

Record (little endian): the fixed head, then envelope, bodystructure, body, usual header fields,
then one 16-byte row for each part, depth first (RFC 3501 section 6.4.5 numbers them).
"""

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from restante.mime import parse
from restante.mime.dates import parse_date
from restante.mime.headers import select_fields
from restante.model.part import Part
from restante.wire.imap.bodystructure import body, bodystructure
from restante.wire.imap.envelope import EMPTY, envelope

USUAL_FIELDS: Final = frozenset(
    b"date from sender reply-to to cc bcc subject message-id in-reply-to references "
    b"content-type content-description content-transfer-encoding mime-version newsgroups lines "
    b"priority x-priority importance x-label x-original-to delivered-to return-path "
    b"list-id list-post list-subscribe list-unsubscribe list-unsubscribe-post "
    b"disposition-notification-to mail-followup-to mail-reply-to resent-from resent-to resent-cc "
    b"x-tuid x-spam-flag x-spam-status user-agent x-mailer "
    b"x-uniform-type-identifier x-universally-unique-identifier".split()
)
"""Fields whose raw lines are kept: all that common clients ask for when they list a folder."""

_USUAL_LIMIT: Final = 1 << 16  # a longer set of usual fields is not kept
_NO_DATE: Final = -(1 << 63)
_ENCODINGS: Final = (b"7bit", b"8bit", b"binary", b"quoted-printable", b"base64", b"")
_MULTIPART: Final = 1
_MESSAGE: Final = 2
_USUAL_KEPT: Final = 1

_HEAD: Final = struct.Struct("<QqhHIIIIIII")
_ROW: Final = struct.Struct("<IIIHBB")  # header, body, end, rows of this subtree, kind, encoding
_ROW_LIMIT: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Section:
    """A part that IMAP addresses as n.n.n, as offsets into the wire form."""

    header: int  # BODY[n.MIME] is header..body
    body: int  # BODY[n] is body..end
    end: int
    encoding: bytes  # lower case; b"" for one that is not known
    multipart: bool
    message: (
        tuple[int, int, int] | None
    )  # header, body, end inside a message/rfc822: BODY[n.HEADER], BODY[n.TEXT]


class Facts:
    """The facts of one message. Immutable. All sizes count bytes of the wire form (CRLF)."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        """View the record that starts at data[at], as `pack` made it."""
        self._data = data
        self._at = at

    @property
    def wire_size(self) -> int:
        """RFC822.SIZE."""
        return self._head()[0]

    @property
    def sent(self) -> int | None:
        """The Date field in Unix seconds, None where there is no date in it."""
        seconds = self._head()[1]
        return None if seconds == _NO_DATE else seconds

    @property
    def sent_zone(self) -> int:
        """Minutes east of UTC of the Date field: SENTON asks for the date as written."""
        return self._head()[2]

    @property
    def header_size(self) -> int:
        """Bytes of the header with its blank line: BODY[TEXT] starts here."""
        return self._head()[4]

    @property
    def envelope(self) -> bytes:
        """ENVELOPE's value."""
        size = self._head()[5]
        start = self._at + _HEAD.size
        return self._data[start : start + size]

    @property
    def bodystructure(self) -> bytes:
        """BODYSTRUCTURE's value."""
        head = self._head()
        start = self._at + _HEAD.size + head[5]
        return self._data[start : start + head[6]]

    @property
    def body(self) -> bytes:
        """BODY's value."""
        head = self._head()
        start = self._at + _HEAD.size + head[5] + head[6]
        return self._data[start : start + head[7]]

    @property
    def header(self) -> bytes:
        """The raw lines of the USUAL_FIELDS in the message's order, without the blank line."""
        head = self._head()
        start = self._at + _HEAD.size + head[5] + head[6] + head[7]
        return self._data[start : start + head[8]]

    def header_fields(self, names: Collection[bytes]) -> bytes | None:
        """Return BODY[HEADER.FIELDS (names)] with its blank line; names in lower case.

        None where the message itself must be read, since a name is not among USUAL_FIELDS.
        """
        if not self._head()[3] & _USUAL_KEPT or not USUAL_FIELDS.issuperset(names):
            return None
        header = self.header
        return select_fields(header, 0, len(header), names) + b"\r\n"

    def section(self, path: Sequence[int]) -> Section | None:
        """Return the part n.n.n of RFC 3501 section 6.4.5; None where there is no such part.

        `path` is not empty.
        """
        data = self._data
        head = self._head()
        rows = self._at + _HEAD.size + head[5] + head[6] + head[7] + head[8]
        if not head[9]:
            return None
        unpack = _ROW.unpack_from
        row = 0
        in_message = True  # numbers count inside the message whose top part is `row`
        for number in path:
            _, _, _, span, kind, _ = unpack(data, rows + row * 16)
            if kind == _MULTIPART:
                child, stop = row + 1, row + span
                for _ in range(1, number):
                    if child >= stop:
                        return None
                    child += unpack(data, rows + child * 16)[3]
                if number < 1 or child >= stop:
                    return None
                row = child
            elif not in_message or number != 1:
                return None
            in_message = False
            kind = unpack(data, rows + row * 16)[4]
            target = row
            if kind == _MESSAGE:
                row += 1
                in_message = True
        start, middle, end, _, kind, encoding = unpack(data, rows + target * 16)
        return Section(
            start,
            middle,
            end,
            _ENCODINGS[encoding],
            kind == _MULTIPART,
            unpack(data, rows + (target + 1) * 16)[:3] if kind == _MESSAGE else None,
        )

    def pack(self) -> bytes:
        """Return the record alone."""
        return self._data[self._at : self._at + self.packed_size()]

    def packed_size(self) -> int:
        """Bytes of the record."""
        head = self._head()
        return _HEAD.size + head[5] + head[6] + head[7] + head[8] + head[9] * _ROW.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Facts) and self.pack() == other.pack()

    def __hash__(self) -> int:
        return hash(self.pack())

    def _head(self) -> tuple[int, ...]:
        return _HEAD.unpack_from(self._data, self._at)


def check_record(data: bytes, at: int, size: int) -> bool:
    """Tell whether data[at:at+size] is one whole record by its lengths."""
    return size >= _HEAD.size and len(data) >= at + size and Facts(data, at).packed_size() == size


def compute_facts(wire: bytes) -> Facts:
    """Parse a message in wire form. Never raises; linear in the message's size."""
    root = parse(wire)
    facts = root.envelope
    date = parse_date(facts.date) if facts is not None and facts.date else None
    parts = [
        EMPTY if facts is None else envelope(facts),
        bodystructure(root),
        body(root),
        select_fields(wire, root.header, root.body, USUAL_FIELDS),
    ]
    kept = len(parts[3]) <= _USUAL_LIMIT
    if not kept:
        parts[3] = b""
    rows: list[bytes] = []
    if len(wire) < _ROW_LIMIT:
        _rows(root, rows)
    head = _HEAD.pack(
        len(wire),
        _NO_DATE if date is None else date.seconds,
        0 if date is None else date.zone,
        _USUAL_KEPT if kept else 0,
        root.body,
        *map(len, parts),
        len(rows),
        0,
    )
    return Facts(b"".join((head, *parts, *rows)))


def _rows(part: Part, rows: list[bytes]) -> int:
    """Append the rows of a subtree and return how many there are."""
    at = len(rows)
    rows.append(b"")
    span = 1 + sum([_rows(child, rows) for child in part.parts])
    kind = _MULTIPART if part.is_multipart else _MESSAGE if part.is_message else 0
    known = part.encoding if part.encoding in _ENCODINGS else b""
    rows[at] = _ROW.pack(part.header, part.body, part.end, span, kind, _ENCODINGS.index(known))
    return span
