"""The text of a message as its reader sees it, for IMAP SEARCH BODY and TEXT.

RFC 3501 section 6.4.4 leaves open whether encodings are undone; readers expect it. So transfer
encoding and charset are decoded, and matching ignores case by Unicode case folding. All work is
bounded by `LIMIT` bytes of decoded text a message.
"""

import binascii
from collections.abc import Iterator
from typing import Final

from restante.mime.charsets import codec_of, decode
from restante.mime.headers import base64_bytes, decode_words, fields
from restante.model.part import Part

LIMIT: Final = 32 << 20


def leaves(part: Part) -> Iterator[Part]:
    """Yield every part without children, in order; recursion is bounded by the tree's depth."""
    if part.parts:
        for child in part.parts:
            yield from leaves(child)
    else:
        yield part


def every(part: Part) -> Iterator[Part]:
    """Yield the part and all below it, in order; recursion is bounded by the tree's depth."""
    yield part
    for child in part.parts:
        yield from every(child)


def charset_of(part: Part) -> bytes:
    """Return the charset parameter, or b"" where there is none."""
    return next((value for name, value in part.params if name == b"charset"), b"")


def body_bytes(wire: bytes, part: Part, limit: int = LIMIT) -> bytes:
    """Return a leaf's body with its transfer encoding undone; damaged input as far as it goes."""
    raw = wire[part.body : min(part.end, part.body + limit)]
    if part.encoding == b"base64":
        return base64_bytes(raw)
    if part.encoding == b"quoted-printable":
        return binascii.a2b_qp(raw)
    return raw


def body_text(wire: bytes, part: Part, limit: int = LIMIT) -> str:
    """Return the decoded text of a text/* leaf. Never raises."""
    return decode(body_bytes(wire, part, limit), charset_of(part))


def header_text(wire: bytes, part: Part, limit: int = 1 << 20) -> str:
    """Return the header of a part as decoded "Name: value" lines."""
    stop = min(part.body, part.header + limit)
    return "\n".join(
        f"{name.decode('latin-1')}: {decode_words(value)}"
        for name, value in fields(wire, part.header, stop)
    )


def fold(text: str) -> str:
    """Return the form in which texts are compared: case folded, white space runs as one space."""
    return " ".join(text.casefold().split())


def body_contains(wire: bytes, root: Part, folded: str) -> bool:
    """Tell whether the decoded text of any text part contains `folded` (see `fold`)."""
    left = LIMIT
    plain = folded.encode() if folded.isascii() and " " not in folded else None
    for part in leaves(root):
        if part.type != b"text" or left <= 0:
            continue
        left -= part.end - part.body
        if plain is not None and _is_plain(part):
            # ASCII in an unencoded body: no decoding can change the answer.
            if plain in wire[part.body : part.end].lower():
                return True
        elif folded in fold(body_text(wire, part, max(left, 1 << 16))):
            return True
    return False


def text_contains(wire: bytes, root: Part, folded: str) -> bool:
    """Tell whether a text part contains it, or any header: also those of parts (file names)."""
    if any(folded in fold(header_text(wire, part)) for part in every(root)):
        return True
    return body_contains(wire, root, folded)


def _is_plain(part: Part) -> bool:
    if part.encoding not in (b"7bit", b"8bit", b"binary"):
        return False
    codec = codec_of(charset_of(part)) or "utf-8"
    # Case folding maps some non-ASCII letters to ASCII ones, so 8-bit text takes the long way.
    return part.encoding == b"7bit" and (codec == "utf-8" or codec.startswith(("iso8859", "cp12")))
