"""The stream of a client as events (RFC 3501 section 2.2.1, RFC 7888).

Invariants: at most `limits.line` octets of text and `limits.literals` of literals are held for
one command; an announced size allocates nothing; a message of APPEND passes through in the
chunks that came. A refused literal that the client sends anyway (non-synchronising) is read
past without being kept, together with the rest of its command, so that its octets are never
read as commands.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from restante.wire.imap.commands.append import Append
from restante.wire.imap.cursor import BadSyntaxError
from restante.wire.imap.events import (
    AppendChunk,
    AppendEnd,
    AppendStart,
    ContinuationLine,
    Event,
    LiteralRequest,
    ProtocolError,
)
from restante.wire.imap.grammar import read_append_head, read_command, tag_of
from restante.wire.imap.limits import PRE_AUTH, Limits

_MARKER: Final = re.compile(rb"(~?)\{(\d+)(\+?)\}\Z")
_ENDLESS: Final = re.compile(rb"(\d)(\d{40,})(\+?)\}\Z")  # its "{" is out of sight
_APPEND: Final = re.compile(rb"[!-~]+ +APPEND ", re.IGNORECASE).match
_LONGEST_MARKER: Final = 64  # octets at the end of a line where a marker is looked for
_LONGEST_END: Final = _LONGEST_MARKER + 2  # and its CR LF
_LONGEST_TAG: Final = 256  # octets where a tag is looked for
_HUGE: Final = 1 << 63
_LITERAL_MINUS: Final = 4096
_SPACES: Final = b" \t"


class _Mode(Enum):
    COMMAND = 0  # lines of a command
    LITERAL = 1  # octets of a literal that is kept
    APPEND = 2  # octets of a message
    APPEND_TAIL = 3  # the line end behind a message
    LINE = 4  # a continuation line
    SKIP_LITERAL = 5  # octets of a refused literal
    SKIP_LINE = 6  # the rest of a refused command
    DEAD = 7


class ImapParser:
    """One per connection.

    Feed what arrives, then take events one by one and act on each before the next is taken:
    mode switches (`expect_line`, `refuse_append`, `reset`, `limits`) act on the octets behind
    the last event taken, already buffered or not.
    """

    __slots__ = (
        "_append",
        "_append_sync",
        "_buffer",
        "_errors",
        "_is_append",
        "_kept",
        "_literals",
        "_mode",
        "_need",
        "_scanned",
        "_tag",
        "_text",
        "limits",
    )

    def __init__(self, limits: Limits = PRE_AUTH) -> None:
        self.limits = limits
        self._buffer = bytearray()
        self._kept = bytearray()  # of the current command: lines and literals read so far
        self._errors = 0
        self._start()

    def _start(self) -> None:
        self._mode = _Mode.COMMAND
        if self._kept:
            self._kept = bytearray()
        self._text = 0  # octets of `_kept` outside literals
        self._literals = 0  # octets of `_kept` inside literals
        self._need = 0  # octets of the current literal to come
        self._scanned = 0  # octets of the buffer known to hold no LF
        self._tag: str | None = None
        self._is_append = False
        self._append: Append | None = None
        self._append_sync = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take octets in and iterate over the events they complete (lazily)."""
        mode = self._mode
        if mode is _Mode.DEAD:
            return iter(())
        if (
            mode is _Mode.COMMAND
            and not self._buffer
            and self._text + len(data) <= self.limits.line
            and data.find(b"\n") == len(data) - 1 >= 0
        ):
            # What nearly always comes: one whole line. It needs no buffer.
            event = self._on_line(data)
            return iter(() if event is None else (event,))
        self._buffer += data
        return self._events()

    def _events(self) -> Iterator[Event]:
        while (event := self.next_event()) is not None:
            yield event

    def next_event(self) -> Event | None:
        """Return the next event of what was fed, None if more octets are needed."""
        while True:
            mode = self._mode
            if mode is _Mode.DEAD:
                return None
            if mode in (_Mode.LITERAL, _Mode.APPEND, _Mode.SKIP_LITERAL):
                if self._need:
                    if not self._buffer:
                        return None
                    chunk = self._take(min(self._need, len(self._buffer)))
                    self._need -= len(chunk)
                    if mode is _Mode.APPEND:
                        return AppendChunk(chunk)
                    if mode is _Mode.LITERAL:
                        self._kept += chunk
                    continue
                if mode is _Mode.LITERAL:
                    self._mode = _Mode.COMMAND
                elif mode is _Mode.APPEND:
                    self._mode = _Mode.APPEND_TAIL
                else:
                    self._mode = _Mode.SKIP_LINE
                continue
            if mode is _Mode.SKIP_LINE:
                end = self._line_end()
                if end is None:
                    return None
                event = self._on_skipped(end)
            else:
                line = self._line()
                if line is None:
                    if self._text + len(self._buffer) <= self.limits.line:
                        return None
                    event = self._too_long(bytes(self._buffer[:_LONGEST_TAG]))
                elif self._text + len(line) > self.limits.line:
                    # Its end is read again, to be skipped: it may announce a literal.
                    self._buffer[:0] = line[-_LONGEST_END:]
                    event = self._too_long(line[:_LONGEST_TAG])
                else:
                    event = self._on_line(line)
            if event is not None:
                return event

    def expect_line(self) -> None:
        """Read the next line as a ContinuationLine (AUTHENTICATE, IDLE); one line per call."""
        self._mode = _Mode.LINE

    def refuse_append(self) -> None:
        """Right after AppendStart: report nothing of the message and answer NO.

        If the literal is synchronising, the client does not send it: NO stands for "+".
        """
        if self._append_sync:
            self._start()
        else:
            self._skip(self._need)

    def reset(self) -> None:
        """Drop everything buffered and start afresh (STARTTLS)."""
        self._buffer = bytearray()
        self._errors = 0
        self._start()

    def take_rest(self) -> bytes:
        """Return what was fed and not read yet, and forget it (a session that is passed on)."""
        rest = bytes(self._buffer)
        self.reset()
        return rest

    # --- octets -----------------------------------------------------------------------------

    def _take(self, count: int) -> bytes:
        buffer = self._buffer
        chunk = bytes(buffer[:count]) if count != len(buffer) else bytes(buffer)
        del buffer[:count]
        self._scanned = 0
        return chunk

    def _line(self) -> bytes | None:
        """Return the next line with its end."""
        at = self._buffer.find(b"\n", self._scanned)
        if at < 0:
            self._scanned = len(self._buffer)
            return None
        return self._take(at + 1)

    def _line_end(self) -> bytes | None:
        """Drop the next line but for its last octets, and return these."""
        buffer = self._buffer
        at = buffer.find(b"\n", self._scanned)
        if at < 0:
            if len(buffer) > _LONGEST_END:
                del buffer[:-_LONGEST_END]
            self._scanned = len(buffer)
            return None
        return self._take(at + 1)[-_LONGEST_END:].rstrip(b"\r\n")

    # --- lines ------------------------------------------------------------------------------

    def _on_line(self, raw: bytes) -> Event | None:
        line = raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]
        if self._mode is _Mode.LINE:
            self._start()
            return ContinuationLine(line)
        if self._mode is _Mode.APPEND_TAIL:
            return self._on_append_tail(line)
        if len(raw) - len(line) == 1 and not self.limits.bare_lf:
            tag = self._tag or tag_of(line)
            self._start()
            return self._error("lines end with CR LF", tag)
        marker = _marker(line)
        if marker is not None:
            return self._on_literal(raw, line, marker)
        data, tag = line, self._tag
        if self._kept:
            data = bytes(self._kept + line)
            self._start()
        elif not line:
            return None  # a blank line between commands
        try:
            command = read_command(data, self.limits)
        except BadSyntaxError as fault:
            return self._error(
                fault.text, tag or tag_of(data), status=fault.status, code=fault.code
            )
        self._errors = 0
        return command

    def _on_literal(self, raw: bytes, line: bytes, marker: re.Match[bytes]) -> Event | None:
        if not self._kept:
            self._tag = tag_of(line)
        size = _size(marker)
        sync = not marker[3]
        if self._tag is None:
            return self._refuse("tag expected", size, sync)
        if self.limits.literal_minus and not sync and size > _LITERAL_MINUS:
            return self._refuse("literal is too large for {n+}", size, sync)
        if not self._kept:
            self._is_append = _APPEND(line) is not None
        binary = bool(marker[1])
        if self._is_append and self.limits.append:
            head = bytes(self._kept + line[: marker.start()])
            try:
                append = read_append_head(head, self.limits, size, binary=binary)
            except BadSyntaxError as fault:
                return self._refuse(fault.text, size, sync, fault.status, fault.code)
            if append is not None:
                return self._on_append(append, sync)
        if binary:
            return self._refuse("binary literal is not allowed here", size, sync)
        literals = self._literals + size
        if size > self.limits.literal or literals > self.limits.literals:
            return self._refuse("literal is too large", size, sync, code="TOOBIG")
        self._kept += raw
        self._text += len(raw)
        self._literals = literals
        self._need = size
        self._mode = _Mode.LITERAL
        return LiteralRequest(self._tag, size) if sync else None

    def _on_append(self, append: Append, sync: bool) -> Event:
        if append.size > self.limits.append:
            return self._refuse("message is too large", append.size, sync, "NO", "TOOBIG")
        self._append, self._append_sync = append, sync
        self._need = append.size
        self._kept = bytearray()
        self._text = self._literals = 0
        self._mode = _Mode.APPEND
        return AppendStart(append, sync)

    def _on_append_tail(self, line: bytes) -> Event:
        append = self._append
        rest = line.strip(_SPACES)
        tag = self._tag
        if append is not None and rest == (b")" if append.utf8 else b""):
            self._start()
            self._errors = 0
            return AppendEnd(append.tag)
        # More than one message (MULTIAPPEND) is not offered; what follows belongs to this command.
        marker = _marker(line)
        if marker is None:
            self._start()
            return self._error("unexpected argument", tag)
        return self._refuse("unexpected argument", _size(marker), not marker[3])

    # --- errors -----------------------------------------------------------------------------

    def _refuse(
        self, text: str, size: int, sync: bool, status: str = "BAD", code: str | None = None
    ) -> ProtocolError:
        """Refuse the command at a literal: nothing follows, or it is read past, or too much."""
        tag = self._tag
        fatal = False
        if sync:
            self._start()
        elif size <= self.limits.skip:
            self._skip(size)
        else:
            fatal = True
        return self._error(text, tag, fatal=fatal, status=status, code=code)

    def _skip(self, size: int) -> None:
        self._start()
        self._need = size
        self._mode = _Mode.SKIP_LITERAL

    def _on_skipped(self, end: bytes) -> Event | None:
        """Go on behind a skipped line, which may have announced a further literal."""
        marker = _marker(end)
        self._start()
        if marker is None or not marker[3]:
            return None
        size = _size(marker)
        if size > self.limits.skip:
            return self._error("literal is too large", None, fatal=True)
        self._skip(size)
        return None

    def _too_long(self, head: bytes) -> ProtocolError:
        tag = self._tag
        if tag is None and self._mode is _Mode.COMMAND:
            tag = tag_of(head)
        fatal = self.limits.skip == 0 or self._mode is _Mode.LINE
        self._skip(0)
        return self._error("line is too long", tag, fatal=fatal)

    def _error(
        self,
        text: str,
        tag: str | None,
        *,
        fatal: bool = False,
        status: str = "BAD",
        code: str | None = None,
    ) -> ProtocolError:
        self._errors += 1
        fatal = fatal or self._errors >= self.limits.errors
        if fatal:
            self._kill()
        return ProtocolError(tag, text, fatal, status, code)

    def _kill(self) -> None:
        self._buffer = bytearray()
        self._start()
        self._mode = _Mode.DEAD


def _marker(line: bytes) -> re.Match[bytes] | None:
    """Find a literal's announcement at the end of a line without its line end."""
    if not line.endswith(b"}"):
        return None
    start = max(len(line) - _LONGEST_MARKER, 0)
    return _MARKER.search(line, start) or _ENDLESS.search(line, start)


def _size(marker: re.Match[bytes]) -> int:
    digits = marker[2].lstrip(b"0")
    return int(digits or b"0") if len(digits) < 19 else _HUGE
