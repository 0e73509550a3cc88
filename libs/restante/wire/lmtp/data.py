"""Decoding of message data after DATA (RFC 5321 section 4.5.2).

Only CR LF "." CR LF ends a message. LF "." LF, LF "." CR LF, CR "." CR LF and the like are data:
a server that ends a message there can be made to see a second one (CVE-2023-51764 and its
kin). A dot that begins a line, after CRLF and nowhere else, is removed. `bare` tells afterwards
whether a CR or LF stood alone, for those who wish to refuse such messages.
"""

import re
from typing import Final

_END: Final = b"\r\n.\r\n"
_BARE_CR: Final = re.compile(rb"\r(?!\n)")
_DOT_LINE: Final = re.compile(rb"\r\n\.")


class DotDecoder:
    """Fed with raw bytes, gives back message bytes (CRLF form), whatever the chunking."""

    __slots__ = ("_held", "_virgin", "bare", "finished", "rest")

    def __init__(self) -> None:
        # Begin with the CRLF of the DATA command: the first line may be the terminator.
        # It is not data, so the first output loses it again.
        self._held = b"\r\n"
        self._virgin = True
        self.bare = False
        self.finished = False
        self.rest = b""  # after the terminator: the next command

    def feed(self, data: bytes) -> bytes:
        """Return what is certain to be message data. After `finished` call no more."""
        text = self._held + data
        end = text.find(_END)
        if end >= 0:
            self.finished = True
            self.rest = text[end + 5 :]
            self._held = b""
            return self._clean(text[: end + 2])
        keep = _open_end(text)
        self._held = text[len(text) - keep :]
        return self._clean(text[: len(text) - keep])

    def _clean(self, text: bytes) -> bytes:
        # Where no CR stands alone there is a CRLF for each, so any more LF stands alone.
        if _BARE_CR.search(text) or text.count(b"\n") != text.count(b"\r"):
            self.bare = True
        if _DOT_LINE.search(text):
            text = text.replace(b"\r\n.", b"\r\n")
        if self._virgin and text:
            self._virgin = False
            return text[2:]
        return text


def _open_end(text: bytes) -> int:
    """Length of the longest end of `text` that could be the start of the terminator."""
    for length in (4, 3, 2, 1):
        if text.endswith(_END[:length]):
            return length
    return 0
