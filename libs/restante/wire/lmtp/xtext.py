"""xtext (RFC 3461 section 4): printable ASCII with +XX for everything else."""

import re
from typing import Final

_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|=|\+[0-9A-F]{2})*\Z")
_ESCAPE: Final = re.compile(rb"\+([0-9A-F]{2})")


def decode_xtext(text: str) -> str | None:
    """Decode, or None for what is no xtext or no UTF-8 inside.

    "=" is let through: XCLIENT and real clients send it bare, and it cannot mislead here.
    """
    if not _XTEXT.match(text):
        return None
    if "+" not in text:
        return text
    try:
        return _ESCAPE.sub(lambda m: bytes((int(m[1], 16),)), text.encode()).decode()
    except UnicodeDecodeError:
        return None
