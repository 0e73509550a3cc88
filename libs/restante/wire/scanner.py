"""Cuts a byte stream into lines, with a bound on what is held.

What is held never exceeds one line limit plus the chunk that was fed last: a longer line is
reported once and its rest dropped as it comes. Splitting does not depend on how the stream was
cut into chunks. A line ends at LF; `Line.crlf` tells whether a CR stood before it, so that a
protocol which accepts nothing but CRLF can refuse the line and still stay in step.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """One line without its ending."""

    text: bytes
    crlf: bool


class LineTooLong(Exception):  # noqa: N818 - an event of the stream, raised so that it cannot be missed
    """A line passed the limit; its rest is being dropped."""


class LineScanner:
    """Holds unread bytes; hands out lines, or raw bytes where a protocol leaves line mode."""

    __slots__ = ("_buffer", "_dropping", "_searched", "_start", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # octets of a line with its CRLF
        self._buffer = b""
        self._start = 0  # of the unread part of _buffer
        self._searched = 0  # no LF in _buffer[_start:_searched]
        self._dropping = False

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        if self._start == len(self._buffer):
            self._buffer = data
            self._start = self._searched = 0
        else:
            self._buffer = self._buffer[self._start :] + data
            self._searched -= self._start
            self._start = 0

    def next_line(self) -> Line | None:
        """Return the next whole line, or None where more input is needed. Raises LineTooLong."""
        buffer, start = self._buffer, self._start
        end = buffer.find(b"\n", self._searched)
        if self._dropping:
            if end < 0:
                self._clear()
                return None
            self._dropping = False
            self._start = self._searched = end + 1
            return self.next_line()
        if end < 0:
            if len(buffer) - start >= self.limit:
                self._dropping = True
                self._clear()
                raise LineTooLong
            self._searched = len(buffer)
            return None
        self._start = self._searched = end + 1
        if end + 1 - start > self.limit:
            raise LineTooLong
        if end > start and buffer[end - 1] == 13:
            return Line(buffer[start : end - 1], True)
        return Line(buffer[start:end], False)

    def take(self, limit: int | None = None) -> bytes:
        """Return and consume up to `limit` raw bytes of what is held (all without a limit)."""
        buffer, start = self._buffer, self._start
        if limit is None or start + limit >= len(buffer):
            self._clear()
            return buffer[start:]  # bytes: no copy when start is 0
        self._start = self._searched = start + limit
        return buffer[start : start + limit]

    def give_back(self, data: bytes) -> None:
        """Put bytes that take() returned before everything else that is held."""
        self._buffer = data + self._buffer[self._start :]
        self._start = self._searched = 0

    def discard(self) -> None:
        """Forget everything (STARTTLS: nothing sent in clear may be read as sent under TLS)."""
        self._dropping = False
        self._clear()

    @property
    def held(self) -> int:
        """Bytes that are held and not yet read."""
        return len(self._buffer) - self._start

    def _clear(self) -> None:
        self._buffer = b""
        self._start = self._searched = 0
