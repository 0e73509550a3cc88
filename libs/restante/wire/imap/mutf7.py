"""Modified UTF-7 of mailbox names (RFC 3501 section 5.1.3), strictly.

One name has exactly one spelling: octets that our own encoder would not have written are
refused, so that two spellings can never mean one folder (or a check pass on one and the other
be used).
"""

import re
from base64 import b64decode, b64encode
from binascii import Error
from typing import Final

_RUNS: Final = re.compile(r"&|[^ -~]+")
_SHIFTED: Final = re.compile(rb"&([^-]*)-")
_PRINTABLE: Final = re.compile(rb"[ -~]*\Z").match


class BadNameError(ValueError):
    """Not modified UTF-7 as the RFC wants it."""


def encode(text: str) -> bytes:
    """Return modified UTF-7. Raises UnicodeEncodeError for a lone surrogate."""
    return _RUNS.sub(_shift, text).encode("ascii")


def decode(raw: bytes) -> str:
    """Return the text. Raises BadNameError."""
    if not _PRINTABLE(raw):
        raise BadNameError
    if b"&" not in raw:
        return raw.decode("ascii")
    out: list[str] = []
    at = 0
    for found in _SHIFTED.finditer(raw):
        out.append(raw[at : found.start()].decode("ascii"))
        out.append(_unshift(found[1]))
        at = found.end()
    out.append(raw[at:].decode("ascii"))
    text = "".join(out)
    try:
        same = encode(text) == raw
    except UnicodeEncodeError as fault:
        raise BadNameError from fault
    if not same:
        raise BadNameError
    return text


def _shift(run: re.Match[str]) -> str:
    text = run[0]
    if text == "&":
        return "&-"
    octets = b64encode(text.encode("utf-16-be"), b"+,")
    return f"&{octets.rstrip(b'=').decode()}-"


def _unshift(octets: bytes) -> str:
    if not octets:
        return "&"
    try:
        raw = b64decode(octets + b"=" * (-len(octets) % 4), b"+,", validate=True)
        return raw.decode("utf-16-be")
    except (Error, UnicodeDecodeError) as fault:
        raise BadNameError from fault
