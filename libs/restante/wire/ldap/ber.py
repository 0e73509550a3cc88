"""BER as LDAP uses it (RFC 4511 section 5.1): definite lengths, tags of one byte.

A value that does not follow this is BerError; nothing is allocated for a length that is only
declared.
"""

from typing import Final

INTEGER: Final = 0x02
OCTETS: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31

_MAX_LENGTH_BYTES: Final = 4


class BerError(ValueError):
    """Not BER, or not what was expected here."""


def tlv(tag: int, *contents: bytes) -> bytes:
    """Encode a value of any type."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Encode a number that is not negative."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def boolean(value: bool, tag: int = 0x01) -> bytes:
    """Encode a truth value."""
    return tlv(tag, b"\xff" if value else b"\0")


def octets(value: bytes, tag: int = OCTETS) -> bytes:
    """Encode a string of bytes."""
    return tlv(tag, value)


def header(data: bytes | bytearray, at: int = 0) -> tuple[int, int, int] | None:
    """Return (tag, start of the content, its length) of the value at `at`.

    None where more bytes are needed to tell. Raises BerError.
    """
    if len(data) < at + 2:
        return None
    tag, first = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:
        raise BerError("long tag")
    if first < 0x80:
        return tag, at + 2, first
    count = first & 0x7F
    if not 0 < count <= _MAX_LENGTH_BYTES:
        raise BerError("bad length")
    start = at + 2 + count
    if len(data) < start:
        return None
    return tag, start, int.from_bytes(data[at + 2 : start], "big")


class Reader:
    """Reads one value after the other. Every method raises BerError."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def more(self) -> bool:
        """True before the end."""
        return self._at < len(self._data)

    def peek(self) -> int:
        """Return the next value's tag, -1 at the end."""
        return self._data[self._at] if self.more else -1

    def value(self, tag: int = -1) -> tuple[int, bytes]:
        """Return the next value's (tag, content); `tag` is the one that it must have."""
        found = header(self._data, self._at)
        if found is None:
            raise BerError("value is cut off")
        got, start, length = found
        if tag not in (-1, got):
            raise BerError(f"tag 0x{got:02x} instead of 0x{tag:02x}")
        if start + length > len(self._data):
            raise BerError("value is cut off")
        self._at = start + length
        return got, self._data[start : self._at]

    def inner(self, tag: int = SEQUENCE) -> "Reader":
        """Return a reader of a constructed value."""
        return Reader(self.value(tag)[1])

    def octets(self, tag: int = OCTETS) -> bytes:
        """Read a string of bytes."""
        return self.value(tag)[1]

    def integer(self, tag: int = INTEGER) -> int:
        """Read a number."""
        content = self.value(tag)[1]
        if not 0 < len(content) <= 8:
            raise BerError("bad number")
        return int.from_bytes(content, "big", signed=True)
