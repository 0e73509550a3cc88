"""Line ends: CRLF on the wire, LF on disk, and every other byte as it came.

Storing turns CRLF into LF, but leaves a CRLF alone that follows another CR: "\\r\\r\\n" kept as it
is reads back as it was, while "\\r\\n" on disk would lose a CR. Reading turns each LF that no CR
precedes into CRLF. So wire -> disk -> wire is the identity for all data without a bare LF, files
of other programs may use either line end, and bare CR and NUL survive (attack rows "NUL" and
"smuggling": a stored message is never cut or split).
"""

import re
from typing import Final

_CRLF: Final = re.compile(rb"(?<!\r)\r\n")
_LONE_LF: Final = re.compile(rb"(?<!\r)\n")


def to_stored(wire: bytes) -> bytes:
    """Return the form on disk of a whole piece of wire data."""
    stored = wire.replace(b"\r\n", b"\n")
    # Looking for one byte is fast; only with a bare CR somewhere it matters what precedes a CRLF.
    return _CRLF.sub(b"\n", wire) if b"\r" in stored else stored


def to_wire(stored: bytes) -> bytes:
    """Return the form on the wire of a whole file."""
    if b"\r\n" in stored:
        return _LONE_LF.sub(b"\r\n", stored)
    return stored.replace(b"\n", b"\r\n")


def wire_size_of(stored: bytes) -> int:
    """Return len(to_wire(stored)) without making it."""
    size = len(stored) + stored.count(b"\n")
    return size - stored.count(b"\r\n") if b"\r" in stored else size


class LineStorer:
    """`to_stored` for data that comes in chunks cut anywhere; sums up both sizes."""

    __slots__ = ("_after_cr", "_held", "size", "wire_size")

    def __init__(self) -> None:
        self.size = 0  # bytes that came out so far
        self.wire_size = 0  # the same in wire form
        self._held = False  # a CR at the end of a chunk waits for what follows it
        self._after_cr = False  # and the byte before that one was a CR too

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be stored now."""
        if not chunk:
            return b""
        data = chunk
        context = 0
        if self._held:
            context = 1 if self._after_cr else 0
            data = (b"\r\r" if context else b"\r") + chunk
        self._held = data.endswith(b"\r")
        if self._held:
            self._after_cr = data.endswith(b"\r\r")
            data = data[:-1]
        return self._count(to_stored(data), context)

    def finish(self) -> bytes:
        """Return what was held back; the data is complete."""
        if not self._held:
            return b""
        self._held = False
        return self._count(b"\r", 0)

    def _count(self, stored: bytes, context: int) -> bytes:
        self.wire_size += wire_size_of(stored) - context
        if context:
            stored = stored[1:]
        self.size += len(stored)
        return stored
