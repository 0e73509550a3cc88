"""Modified UTF-7: how RFC 3501 section 5.1.3 writes folder names, on the wire and on old disks."""

import binascii
import re
from typing import Final

_RUN: Final = re.compile("[^ -~]+|&")
_CODED: Final = re.compile("&([A-Za-z0-9+,]*)-")


def encode(text: str) -> str:
    """Return the modified UTF-7 form of any text (without lone surrogates)."""
    return _RUN.sub(_encode_run, text)


def _encode_run(match: re.Match[str]) -> str:
    run = match[0]
    if run == "&":
        return "&-"
    coded = binascii.b2a_base64(run.encode("utf-16-be"), newline=False).decode()
    return "&" + coded.rstrip("=").replace("/", ",") + "-"


def decode(text: str) -> str | None:
    """Return the text of a modified UTF-7 form; None where it is not one.

    Only the form that `encode` gives is taken, so that no two forms mean one name: no coded
    printable ASCII, no two coded runs side by side, no stray bits.
    """
    parts: list[str] = []
    at = 0
    while (mark := text.find("&", at)) >= 0:
        coded = _CODED.match(text, mark)
        if coded is None:
            return None
        parts.append(text[at:mark])
        parts.append("&" if not coded[1] else _decode_run(coded[1]))
        at = coded.end()
    parts.append(text[at:])
    result = "".join(parts)
    return result if encode(result) == text else None


def _decode_run(coded: str) -> str:
    padded = coded.replace(",", "/") + "=" * (-len(coded) % 4)
    try:
        return binascii.a2b_base64(padded).decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError):
        return "\ufffd&"  # cannot be the result of encoding it again
