"""Header fields: iteration, unfolding, structured values with parameters, encoded words.

Sources: RFC 5322 section 2.2 (fields, folding), RFC 2045 section 5.1 (parameters), RFC 2231
(continuations, charsets), RFC 2047 (encoded words). Both CRLF and LF end a line. Every pattern
uses possessive repeats, so that none can backtrack.
"""

import binascii
import re
from collections.abc import Collection, Iterator
from typing import Final

from restante.mime.charsets import decode
from restante.mime.limits import DEFAULT
from restante.model.part import Params

# A field: name, optional space, colon, value with its continuation lines; the line end stays out.
FIELD: Final = re.compile(rb"^([^\s:]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)

_FOLD: Final = re.compile(rb"\r?\n")
_PARAM: Final = re.compile(
    rb'[;\s]*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"?+|([^;\s"]*+))[^;"]*+', re.DOTALL
)
_SKIP: Final = re.compile(rb"[^;]*+;?+")
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_SECTION: Final = re.compile(rb"([^*]++)\*(?:(\d{1,4})(\*)?+)?+\Z")
_QUOTED_OR_COMMENT: Final = re.compile(rb'[^"(\\]++|\\.?|"(?:[^"\\]++|\\.)*+"?+|\(', re.DOTALL)
_COMMENT_MARK: Final = re.compile(rb"[^()\\]*+(\\.|[()])", re.DOTALL)
_WORD: Final = re.compile(rb"=\?([^?\s]{1,64})\?([bBqQ])\?([^?\r\n]*+)\?=")
_NOT_TEXT: Final = dict.fromkeys([*range(32), 127], None) | {9: " "}


def header_end(wire: bytes, start: int, end: int) -> int:
    """Return where the body starts: behind the first empty line, or `end` where there is none."""
    if wire.startswith((b"\r\n", b"\n"), start, end):
        return start + (1 if wire[start] == 10 else 2)
    at = wire.find(b"\n\r\n", start, end)
    bare = wire.find(b"\n\n", start, end if at < 0 else at)
    if bare >= 0:
        return bare + 2
    return at + 3 if at >= 0 else end


def fields(wire: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name as written, unfolded value) of the header in wire[start:end], in order."""
    stop = len(wire) if end is None else end
    for name, raw in FIELD.findall(wire, start, stop):
        yield name, unfold(raw)


def select_fields(
    wire: bytes, start: int, end: int, names: Collection[bytes], *, exclude: bool = False
) -> bytes:
    """Return the raw lines of the fields whose lower-case name is in `names`, or is not.

    This is IMAP's HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 3501 section 6.4.5) without the blank
    line. Lines that are no field count as a field without a name.
    """
    out = []
    if exclude:
        at = start
        for hit in FIELD.finditer(wire, start, end):
            if hit.group(1).lower() in names:
                out.append(wire[at : hit.start()])
                at = hit.end() + 1
        rest = wire[at:end]
        # The header's blank line is the caller's to add.
        blank = rest.endswith((b"\n\r\n", b"\n\n")) or rest in (b"\r\n", b"\n")
        out.append(rest[: -2 if rest.endswith(b"\r\n") else -1] if blank else rest)
    else:
        for hit in FIELD.finditer(wire, start, end):
            if hit.group(1).lower() in names:
                out.append(wire[hit.start() : min(hit.end() + 1, end)])
        if out and not out[-1].endswith(b"\n"):
            out.append(b"\r\n")  # the header was cut off; what follows must start a line
    return b"".join(out)


def unfold(raw: bytes) -> bytes:
    """Remove the line ends inside a raw value and the white space around it."""
    if b"\n" in raw:
        raw = _FOLD.sub(b"", raw)
    return raw.strip()


def strip_comments(value: bytes) -> bytes:
    """Replace each (comment) outside quotes by a space; an unclosed one reaches to the end."""
    if b"(" not in value:
        return value
    out = []
    at = 0
    while at < len(value):
        found = _QUOTED_OR_COMMENT.match(value, at)
        if found is None:
            break
        if found.group() == b"(":
            out.append(b" ")
            at = comment_end(value, at)
        else:
            out.append(found.group())
            at = found.end()
    return b"".join(out)


def comment_end(value: bytes, at: int) -> int:
    """Return the position behind the comment that opens at value[at]; nesting is only counted."""
    depth = 0
    for found in _COMMENT_MARK.finditer(value, at):
        mark = found.group(1)
        depth += (mark == b"(") - (mark == b")")
        if depth == 0:
            return found.end()
    return len(value)


def structured(value: bytes) -> tuple[bytes, Params]:
    """Split "token; name=value; ..." into the token in lower case and its parameters."""
    value = strip_comments(value[: DEFAULT.value])
    token, mark, rest = value.partition(b";")
    return token.strip().lower(), parameters(rest) if mark else ()


def parameters(text: bytes) -> Params:
    """Parse "name=value; name="quoted"" tolerantly; names in lower case, first of a name wins.

    RFC 2231 pieces (name*0, name*1*) are joined: to "name" where no piece was percent-encoded,
    else to "name*" with the value still encoded.
    """
    found: dict[bytes, bytes] = {}
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    at = 0
    for _ in range(DEFAULT.params):
        hit = _PARAM.match(text, at)
        if hit is None:
            # Not a parameter: go on behind the next semicolon.
            skip = _SKIP.match(text, at)
            if skip is None or skip.end() in (at, len(text)):
                break
            at = skip.end()
            continue
        at = hit.end()
        name, quoted, plain = hit.groups()
        value = plain if quoted is None else unquote(quoted)
        name = name.lower()
        if b"*" in name and (section := _SECTION.match(name)) and section.group(2):
            pieces.setdefault(section.group(1), {}).setdefault(
                int(section.group(2)), (value, section.group(3) is not None)
            )
        else:
            found.setdefault(name, value)
    for name, parts in pieces.items():
        _join(found, name, parts)
    return tuple(found.items())


def unquote(text: bytes) -> bytes:
    """Remove the backslashes of a quoted string's inside."""
    return _ESCAPED.sub(rb"\1", text) if b"\\" in text else text


def _join(found: dict[bytes, bytes], name: bytes, parts: dict[int, tuple[bytes, bool]]) -> None:
    encoded = any(flag for _, flag in parts.values())
    out = []
    for number in range(len(parts)):
        if number not in parts:
            break
        value, flag = parts[number]
        out.append(value if flag or not encoded else _percent(value))
    if out:
        found.setdefault(name + b"*" if encoded else name, b"".join(out))


def _percent(value: bytes) -> bytes:
    return re.sub(rb"[^A-Za-z0-9._-]", lambda hit: b"%%%02X" % hit.group()[0], value)


def parameter_text(params: Params, name: bytes) -> str | None:
    """Return the decoded text of a parameter: RFC 2231 form first, then plain or encoded words."""
    table = dict(params)
    extended = table.get(name + b"*")
    if extended is not None:
        charset, mark, rest = extended.partition(b"'")
        _, mark2, value = rest.partition(b"'")
        if not (mark and mark2):
            charset, value = b"utf-8", extended
        return clean(decode(_unpercent(value), charset))
    plain = table.get(name)
    return None if plain is None else decode_words(plain)


def _unpercent(value: bytes) -> bytes:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda hit: bytes((int(hit.group(1), 16),)), value)


def clean(text: str) -> str:
    """Drop CR, LF, NUL and other control characters, so that a value can never become a line."""
    return text.translate(_NOT_TEXT)


def decode_words(value: bytes) -> str:
    """Decode an unstructured value with encoded words (RFC 2047) to clean text.

    Neighbouring words of one charset are joined as bytes first, since mailers cut characters in
    two. Raw 8-bit text is read as UTF-8 (RFC 6532), else as Latin-1.
    """
    if b"=?" not in value:
        return clean(decode(value, b"utf-8"))
    out: list[str] = []
    pending = bytearray()
    charset = b""
    at = 0
    for word in _WORD.finditer(value):
        between = value[at : word.start()]
        name = word.group(1).partition(b"*")[0].lower()
        at_word_gap = at and not between.strip()
        if not (at_word_gap and name == charset):
            out.append(decode(bytes(pending), charset) if pending else "")
            pending.clear()
        if not at_word_gap:
            out.append(decode(between, b"utf-8"))
        charset = name
        pending += _word_bytes(word.group(2), word.group(3))
        at = word.end()
    out.append(decode(bytes(pending), charset) if pending else "")
    out.append(decode(value[at:], b"utf-8"))
    return clean("".join(out))


def _word_bytes(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(text.replace(b"=\n", b"="), header=True)
    return base64_bytes(text)


def base64_bytes(text: bytes) -> bytes:
    """Decode base64 as far as it goes: foreign characters skipped, a missing end padded."""
    for padding in (b"", b"=", b"=="):
        try:
            return binascii.a2b_base64(text + padding)
        except binascii.Error:
            continue
    # One character too many in the last quantum: leave out characters until it fits.
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", text)
    return binascii.a2b_base64(kept[: len(kept) // 4 * 4])
