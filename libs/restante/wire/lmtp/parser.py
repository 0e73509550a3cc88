"""The receiving side of an LMTP connection: command lines, DATA, BDAT chunks.

Whether bytes after DATA are a message or commands depends on the reply, so events are pulled
one at a time: the session answers an event, and calls start_data() where it answered 354,
before it asks for the next. BDAT octets follow their command whatever the reply (RFC 3030
section 2), so the parser switches by itself. Message bytes are handed out as they come and never
collected here: what is held is bounded by one line and the chunk fed last.
"""

from dataclasses import dataclass
from typing import Final

from restante.wire.lmtp.commands import BadCommand, Bdat, Command, parse
from restante.wire.lmtp.data import DotDecoder
from restante.wire.scanner import LineScanner, LineTooLong

# RFC 5321 section 4.5.3.1.4 asks for 512, its extensions add some hundred each, XCLIENT more.
LINE_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes of the message in CRLF form, dots removed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DataEnd:
    """The message after DATA is complete. `bare`: it holds a CR or LF that stands alone."""

    bare: bool


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """A BDAT chunk is complete; with `last` the message is."""

    last: bool


Event = Command | Content | DataEnd | ChunkEnd


class LmtpParser:
    """feed() bytes, then next_event() until None."""

    __slots__ = ("_chunk_left", "_decoder", "_end", "_last", "_scanner")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._scanner = LineScanner(limit)
        self._decoder: DotDecoder | None = None
        self._end: DataEnd | None = None  # to be told after the last Content
        self._chunk_left = -1  # octets of the BDAT chunk still to come; -1 outside of one
        self._last = False

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._scanner.feed(data)

    def next_event(self) -> Event | None:
        """Return the next event, or None where more input is needed."""
        if self._decoder is not None:
            return self._next_of_data(self._decoder)
        if self._end is not None:
            return self._take_end()
        if self._chunk_left >= 0:
            return self._next_of_chunk()
        try:
            line = self._scanner.next_line()
        except LineTooLong:
            return BadCommand(500, "5.5.2", "Line is too long")
        if line is None:
            return None
        if not line.crlf:
            return BadCommand(500, "5.5.2", "A line ends with CR LF")
        command = parse(line.text)
        if type(command) is Bdat:
            self._chunk_left, self._last = command.size, command.last
        return command

    def start_data(self) -> None:
        """Read a dot-terminated message next: called when DATA was answered by 354."""
        self._decoder = DotDecoder()

    def discard(self) -> None:
        """Forget unread bytes: called when TLS starts (RFC 3207 section 4.2)."""
        self._scanner.discard()

    @property
    def in_message(self) -> bool:
        """True while message bytes are read."""
        return self._decoder is not None or self._end is not None or self._chunk_left >= 0

    @property
    def held(self) -> int:
        """Bytes that were fed and not yet turned into events."""
        return self._scanner.held

    def _next_of_data(self, decoder: DotDecoder) -> Event | None:
        raw = self._scanner.take()
        if not raw:
            return None
        data = decoder.feed(raw)
        if decoder.finished:
            self._decoder = None
            self._end = DataEnd(decoder.bare)
            if decoder.rest:
                self._scanner.give_back(decoder.rest)
        return Content(data) if data else self._take_end()

    def _take_end(self) -> DataEnd | None:
        end, self._end = self._end, None
        return end

    def _next_of_chunk(self) -> Event | None:
        if self._chunk_left == 0:
            self._chunk_left = -1
            return ChunkEnd(self._last)
        raw = self._scanner.take(self._chunk_left)
        if not raw:
            return None
        self._chunk_left -= len(raw)
        return Content(raw)
