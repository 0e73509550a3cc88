"""POP3 commands (RFC 1939 section 3, RFC 2449 section 4).

A line may end in CRLF or, as every known server allows, in LF: nothing in POP3 depends on the
difference, and people type it by hand. Keywords are case-insensitive. Text is UTF-8
(RFC 6856 section 2.1.1); NUL and other controls are refused before a handler sees them.
"""

import re
from dataclasses import dataclass
from typing import Final

from restante.wire.scanner import LineScanner, LineTooLong

LINE_LIMIT: Final = 8192  # RFC 2449 asks for 255, SASL lines need more

_KEYWORD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,15}\Z")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Command:
    """A keyword in upper case and the rest of the line, without outer blanks.

    `raw_argument` keeps every blank after the one that ends the keyword: a password may start
    or end with some (RFC 1939 section 7, PASS).
    """

    name: str
    argument: str = ""
    raw_argument: str = ""

    @property
    def words(self) -> list[str]:
        """The argument split at blanks."""
        return self.argument.split()


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line of a SASL exchange, as it came."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no command; `text` may be shown to the client."""

    text: str


Event = Command | RawLine | BadLine

# What clients send all day takes a short way; the grammar below says the same.
_WITHOUT_ARGUMENT: Final = {
    name.encode(): Command(name)
    for name in ("CAPA", "STAT", "LIST", "UIDL", "NOOP", "RSET", "QUIT", "STLS", "AUTH")
}
_WITH_NUMBER: Final = {name.encode(): name for name in ("RETR", "DELE", "LIST", "UIDL")}


class CommandParser:
    """feed() bytes, then next_event() until None."""

    __slots__ = ("_scanner", "raw_lines")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._scanner = LineScanner(limit)
        self.raw_lines = False  # True while a SASL exchange is on

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._scanner.feed(data)

    def next_event(self) -> Event | None:
        """Return the next event, or None where more input is needed."""
        try:
            line = self._scanner.next_line()
        except LineTooLong:
            return BadLine("Line is too long.")
        if line is None:
            return None
        if self.raw_lines:
            return RawLine(line.text)
        return parse(line.text)

    def discard(self) -> None:
        """Forget unread bytes: called when TLS starts (RFC 2595 section 4)."""
        self._scanner.discard()
        self.raw_lines = False

    def take_rest(self) -> bytes:
        """Return the unread bytes and forget them (a session that is passed on)."""
        return self._scanner.take()

    @property
    def held(self) -> int:
        """Bytes that were fed and not yet turned into events."""
        return self._scanner.held


def parse(line: bytes) -> Command | BadLine:
    """Parse one line without its ending."""
    known = _WITHOUT_ARGUMENT.get(line)
    if known is not None:
        return known
    word, _, rest = line.partition(b" ")
    if rest.isdigit() and word in _WITH_NUMBER:
        number = rest.decode()
        return Command(_WITH_NUMBER[word], number, number)
    if not _KEYWORD.match(word):
        return BadLine("Invalid command.")
    if not rest:
        return Command(word.upper().decode())
    try:
        text = rest.decode()
    except UnicodeDecodeError:
        return BadLine("Text must be UTF-8.")
    if _CONTROL.search(text):
        return BadLine("Control characters are not allowed.")
    return Command(word.upper().decode(), text.strip(" "), text)
