"""The part tree of a message, by offsets into its bytes (RFC 2045, RFC 2046, RFC 2822).

Top down: a multipart's delimiter lines are searched in its own range, then each piece is parsed
on its own. An outer delimiter therefore ends every part inside, as RFC 2046 section 5.1.2 asks,
and the search runs at memory speed. A part nested d deep is searched d times; `_Work` bounds the
sum, and with it the cost of hostile nesting.

Choices where the RFCs are silent:
- Only an empty line ends a header; a line that is no field is skipped.
- A multipart in which no delimiter line is found is shown as text/plain, and what lies beyond a
  limit as application/octet-stream, so that whoever prints a tree needs no special cases:
  each multipart has children, each message/rfc822 has exactly one.
- Of repeated fields the first counts; repeated address fields are joined, since a reader who
  shows only one of two From fields can be deceived.
"""

import re
from functools import lru_cache
from typing import Final

from restante.mime import envelope
from restante.mime.headers import FIELD, header_end, structured, unfold
from restante.mime.limits import DEFAULT, Limits
from restante.model.part import HeaderEnvelope, Params, Part

_CONTENT: Final = frozenset(
    b"content-type content-transfer-encoding content-id content-description content-md5 "
    b"content-disposition content-language content-location".split()
)
_MESSAGE: Final = _CONTENT | envelope.FIELDS
_JOINED: Final = frozenset(b"from sender reply-to to cc bcc".split())

# What may follow "--boundary": "--" of the close delimiter, then nothing that could continue a
# longer boundary (RFC 2046 bchars), then anything up to the line end.
_TAIL: Final = re.compile(rb"(--)?+(?![0-9A-Za-z'()+_,./:=?-])[^\n]*+\n?+")
_TOKEN: Final = re.compile(rb"[^\s/;()<>@,\\\":\[\]?=]+")
_SCAN_FACTOR: Final = 24  # how many times the message's size may be searched in all
_SCAN_FREE: Final = 1 << 24
_NEAR_MISSES: Final = 100_000  # lines that start like a delimiter and go on as a longer word
_US_ASCII: Final = ((b"charset", b"us-ascii"),)
_BLANK: Final = HeaderEnvelope(None, None, (), (), (), (), (), (), None, None)


def parse(wire: bytes, limits: Limits = DEFAULT) -> Part:
    """Return the tree of a message; the root carries the envelope too. Never raises.

    The lines of `wire` may end in CRLF or LF; all offsets count its bytes.
    """
    return _Parser(wire, limits).part(0, len(wire), 1, digest=False, message=True)


@lru_cache(maxsize=512)
def _content_type(value: bytes) -> tuple[bytes, bytes, Params]:
    token, params = structured(value)
    major, _, minor = token.partition(b"/")
    major, minor = major.strip(), minor.strip()
    if not (_TOKEN.fullmatch(major) and _TOKEN.fullmatch(minor)):
        major, minor = b"text", b"plain"  # RFC 2045 section 5.2
    if major == b"text" and not any(name == b"charset" for name, _ in params):
        params += _US_ASCII  # the default is said aloud, as other servers do
    return major, minor, params


class _Parser:
    def __init__(self, wire: bytes, limits: Limits) -> None:
        self.wire = wire
        self.limits = limits
        self.parts_left = limits.parts
        self.header_left = limits.embedded_header
        self.near_misses = _NEAR_MISSES
        self.scan_left = len(wire) * _SCAN_FACTOR + _SCAN_FREE

    def part(self, start: int, end: int, depth: int, *, digest: bool, message: bool) -> Part:
        wire = self.wire
        self.parts_left -= 1
        body = header_end(wire, start, end)
        values = self._values(start, body, _MESSAGE if message else _CONTENT)
        get = values.get
        value = get(b"content-type")
        params: Params
        parts: tuple[Part, ...] = ()
        if value:
            type_, subtype, params = _content_type(value)
        elif digest:
            type_, subtype, params = b"message", b"rfc822", ()
        else:
            type_, subtype, params = b"text", b"plain", _US_ASCII
        if type_ == b"multipart":
            parts = self._children(body, end, depth, params, subtype == b"digest")
            if not parts:
                type_, subtype, params = self._opaque(depth)
        elif type_ == b"message" and subtype in (b"rfc822", b"global"):
            if self._may_descend(depth, end - body):
                parts = (self.part(body, end, depth + 1, digest=False, message=True),)
            else:
                type_, subtype, params = b"application", b"octet-stream", ()
        disposition: tuple[bytes, Params] = (b"", ())
        if raw := get(b"content-disposition"):
            disposition = structured(raw)
        encoding = get(b"content-transfer-encoding")
        return Part(
            type_,
            subtype,
            params,
            start,
            body,
            end,
            wire.count(b"\n", body, end),
            _encoding(encoding) if encoding else b"7bit",
            get(b"content-id") or None,
            get(b"content-description") or None,
            get(b"content-md5") or None,
            disposition[0] or None,
            disposition[1] if disposition[0] else (),
            _languages(get(b"content-language")),
            get(b"content-location") or None,
            parts,
            envelope.make_envelope(values) if message else None,
        )

    def _values(self, start: int, body: int, wanted: frozenset[bytes]) -> dict[bytes, bytes]:
        """Return the first value of each wanted field, unfolded; address fields joined."""
        stop = min(body, start + self.limits.header, start + max(self.header_left, 0))
        self.header_left -= stop - start
        values: dict[bytes, bytes] = {}
        repeated: dict[bytes, list[bytes]] = {}
        for name, raw in FIELD.findall(self.wire, start, stop):
            key = name.lower()
            if key in wanted:
                if key not in values:
                    values[key] = unfold(raw)
                elif key in _JOINED:
                    repeated.setdefault(key, [values[key]]).append(unfold(raw))
        for key, pieces in repeated.items():
            values[key] = b",".join(pieces)
        return values

    def _may_descend(self, depth: int, size: int) -> bool:
        self.scan_left -= size
        return depth < self.limits.depth and self.parts_left > 0 and self.scan_left > 0

    def _opaque(self, depth: int) -> tuple[bytes, bytes, Params]:
        if depth < self.limits.depth and self.parts_left > 0 and self.scan_left > 0:
            return b"text", b"plain", _US_ASCII
        return b"application", b"octet-stream", ()

    def _children(
        self, body: int, end: int, depth: int, params: Params, digest: bool
    ) -> tuple[Part, ...]:
        boundary = next((value for name, value in params if name == b"boundary"), b"").rstrip()
        if not boundary or not self._may_descend(depth, end - body):
            return ()
        wire = self.wire
        needle = b"\n--" + boundary
        found: list[Part] = []
        opened = -1  # where the part at hand starts
        at = wire.find(needle, body - 1, end)
        while at >= 0:
            tail = _TAIL.match(wire, at + len(needle), end)
            if tail is None:
                self.near_misses -= 1
                if self.near_misses < 0:
                    break
                at = wire.find(needle, at + len(needle), end)
                continue
            if opened >= 0:
                # The line end before a delimiter belongs to the delimiter.
                stop = max(at - (wire[at - 1] == 13), opened)
                found.append(self.part(opened, stop, depth + 1, digest=digest, message=False))
                if self.parts_left <= 0:
                    return tuple(found)
            if tail.group(1):
                return tuple(found)
            opened = tail.end()
            at = wire.find(needle, opened - 1, end)
        if opened >= 0:
            found.append(self.part(opened, end, depth + 1, digest=digest, message=False))
        return tuple(found)


@lru_cache(maxsize=128)
def _encoding(value: bytes) -> bytes:
    token = value.partition(b";")[0].strip()
    return token.lower() if _TOKEN.fullmatch(token) else b"7bit"


def _languages(value: bytes | None) -> tuple[bytes, ...]:
    if not value:
        return ()
    return tuple(tag for piece in value.split(b",")[:16] if (tag := piece.strip()))
