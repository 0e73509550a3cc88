"""Reading the arguments of one complete command (RFC 3501 section 9).

The octets are the whole command as it came, literals included (`{5}` CRLF and five octets), only
the last line end is gone. Each method reads one element at the cursor or raises BadSyntaxError
with a text that never repeats what the client sent.

Strict about octets (no NUL, CR or LF outside literals, no unknown escapes), tolerant about
spaces: a run of them counts as one, and some may stand before the line end.
"""

import re
from typing import Final

from restante.wire.imap.limits import Limits
from restante.wire.imap.sequence_set import BadSetError, SequenceSet

_SPACES: Final = re.compile(rb" +").match
_ATOM: Final = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+").match
_ASTRING: Final = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+").match
_LIST_CHARS: Final = re.compile(rb"[!#$%&'*+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+").match
_QUOTED: Final = re.compile(rb'"([^"\\\r\n\0]*+(?:\\["\\][^"\\\r\n\0]*+)*+)"').match
_ESCAPED: Final = re.compile(rb'\\(["\\])')
_LITERAL: Final = re.compile(rb"\{(\d{1,10})\+?\}\r?\n").match
_NUMBER: Final = re.compile(rb"\d{1,19}").match
_SET: Final = re.compile(rb"[0-9:*,]+|\$").match

MAX_NUMBER: Final = (1 << 63) - 1


class BadSyntaxError(Exception):
    """The command is wrong; `status` and `code` say how to answer."""

    def __init__(self, text: str, *, status: str = "BAD", code: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.code = code


class Cursor:
    """A position in a command."""

    __slots__ = ("at", "data", "limits", "nesting")

    def __init__(self, data: bytes, limits: Limits, at: int = 0) -> None:
        self.data = data
        self.limits = limits
        self.at = at
        self.nesting = 0

    def sp(self) -> None:
        """Read the space between two arguments."""
        found = _SPACES(self.data, self.at)
        if found is None:
            raise BadSyntaxError("argument missing")
        self.at = found.end()

    def end(self) -> None:
        """Check that nothing but spaces is left."""
        data = self.data
        if self.at != len(data) and data[self.at :].strip(b" "):
            raise BadSyntaxError("unexpected argument")

    def at_end(self) -> bool:
        """True if nothing but spaces is left."""
        return self.at == len(self.data) or not self.data[self.at :].strip(b" ")

    def sees(self, octet: bytes) -> bool:
        """True if this octet comes next."""
        return self.data.startswith(octet, self.at)

    def take(self, octet: bytes) -> bool:
        """Read this octet if it comes next."""
        if self.data.startswith(octet, self.at):
            self.at += len(octet)
            return True
        return False

    def open(self) -> None:
        """Read "(" and count it."""
        if not self.take(b"("):
            raise BadSyntaxError('"(" expected')
        self.nesting += 1
        if self.nesting > self.limits.nesting:
            raise BadSyntaxError("lists are nested too deeply")

    def close(self) -> bool:
        """Read ")", spaces before it allowed; else read the space before the next item.

        Returns True if the list is over.
        """
        spaces = _SPACES(self.data, self.at)
        at = spaces.end() if spaces is not None else self.at
        if self.data.startswith(b")", at):
            self.at = at + 1
            self.nesting -= 1
            return True
        if spaces is None:
            raise BadSyntaxError('")" expected')
        self.at = at
        return False

    def empty(self) -> bool:
        """Right after `open`: read ")" if the list is empty."""
        if self.take(b")"):
            self.nesting -= 1
            return True
        return False

    def atom(self) -> bytes:
        """Read an atom."""
        found = _ATOM(self.data, self.at)
        if found is None:
            raise BadSyntaxError("atom expected")
        self.at = found.end()
        return found[0]

    def word(self) -> bytes:
        """Read an atom, in upper case."""
        return self.atom().upper()

    def string(self) -> bytes:
        """Read a quoted string or a literal."""
        data, at = self.data, self.at
        found = _QUOTED(data, at)
        if found is not None:
            self.at = found.end()
            value = found[1]
            return _ESCAPED.sub(rb"\1", value) if b"\\" in value else value
        found = _LITERAL(data, at)
        if found is None:
            raise BadSyntaxError("string expected")
        start = found.end()
        stop = start + int(found[1])
        if stop > len(data):
            raise BadSyntaxError("string expected")
        self.at = stop
        value = data[start:stop]
        if b"\0" in value:
            raise BadSyntaxError("NUL in a string")
        return value

    def astring(self) -> bytes:
        """Read an astring."""
        found = _ASTRING(self.data, self.at)
        if found is None:
            return self.string()
        self.at = found.end()
        return found[0]

    def list_mailbox(self) -> bytes:
        """Read a LIST pattern: an astring in which % and * may stand."""
        found = _LIST_CHARS(self.data, self.at)
        if found is None:
            return self.string()
        self.at = found.end()
        return found[0]

    def nstring(self) -> bytes | None:
        """Read a string or NIL."""
        if self.data[self.at : self.at + 3].upper() == b"NIL":
            self.at += 3
            return None
        return self.string()

    def number(self, most: int = MAX_NUMBER) -> int:
        """Read a number of at most `most`."""
        found = _NUMBER(self.data, self.at)
        if found is None:
            raise BadSyntaxError("number expected")
        self.at = found.end()
        value = int(found[0])
        if value > most or self.data[self.at : self.at + 1].isdigit():
            raise BadSyntaxError("number is too large")
        return value

    def sequence_set(self) -> SequenceSet:
        """Read a sequence set or "$"."""
        found = _SET(self.data, self.at)
        if found is None:
            raise BadSyntaxError("sequence set expected")
        self.at = found.end()
        try:
            return SequenceSet.parse(found[0])
        except BadSetError as fault:
            raise BadSyntaxError("bad sequence set") from fault
