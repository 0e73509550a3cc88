"""Search filters: their text (RFC 4515) to BER (RFC 4511 section 4.5.1), and escaped values.

Values that a user typed go through `escape` before they become part of a text: what is escaped
can only be compared, never change what the filter means.
"""

import re
from typing import Final

from restante.wire.ldap import ber

MAX_DEPTH: Final = 50

_ATTRIBUTE: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*)(?:;[A-Za-z0-9-]+)*\Z")
_SPECIAL: Final = re.compile(r"[\x00-\x1f\\*()\x7f]")
_ESCAPED: Final = re.compile(rb"\\([0-9A-Fa-f]{2})")
_LISTS: Final = {"&": 0xA0, "|": 0xA1}
_NOT, _SUBSTRINGS, _PRESENT, _EXTENSIBLE = 0xA2, 0xA4, 0x87, 0xA9
_COMPARISONS: Final = {">": 0xA5, "<": 0xA6, "~": 0xA8, "": 0xA3}


class FilterError(ValueError):
    """Not a filter."""


def escape(value: str) -> str:
    """Return a value as text that can stand in a filter (RFC 4515 section 3)."""
    return _SPECIAL.sub(lambda match: f"\\{ord(match[0]):02x}", value)


def is_attribute(text: str) -> bool:
    """True for an attribute's name or OID, with options."""
    return _ATTRIBUTE.match(text) is not None


def encode(text: str) -> bytes:
    """Return the BER of a filter; "a=b" without parentheses is understood. Raises FilterError."""
    text = text.strip()
    if not text.startswith("("):
        text = f"({text})"
    filter_, end = _filter(text, 0, 0)
    if end != len(text):
        raise FilterError("text after the filter")
    return filter_


def _filter(text: str, at: int, depth: int) -> tuple[bytes, int]:
    """Return the filter that starts at `at`, and where it ends."""
    if depth > MAX_DEPTH:
        raise FilterError("too deep")
    if text[at : at + 1] != "(":
        raise FilterError("no opening parenthesis")
    kind = text[at + 1 : at + 2]
    if kind in _LISTS:
        at += 2
        parts = []
        while text[at : at + 1] == "(":
            part, at = _filter(text, at, depth + 1)
            parts.append(part)
        return ber.tlv(_LISTS[kind], *parts), _closed(text, at)
    if kind == "!":
        part, at = _filter(text, at + 2, depth + 1)
        return ber.tlv(_NOT, part), _closed(text, at)
    end = text.find(")", at)
    if end < 0:
        raise FilterError("no closing parenthesis")
    return _item(text[at + 1 : end]), end + 1


def _closed(text: str, at: int) -> int:
    if text[at : at + 1] != ")":
        raise FilterError("no closing parenthesis")
    return at + 1


def _item(text: str) -> bytes:
    left, equals, right = text.partition("=")
    if not equals or "(" in text:
        raise FilterError("no comparison")
    if left.endswith(":"):
        return _extensible(left[:-1], right)
    comparison = left[-1:] if left[-1:] in _COMPARISONS else ""
    attribute = _attribute(left.removesuffix(comparison))
    if comparison or "*" not in right:
        if "*" in right:
            raise FilterError("a star that is not escaped")
        pair = ber.octets(attribute), ber.octets(_value(right))
        return ber.tlv(_COMPARISONS[comparison], *pair)
    if right == "*":
        return ber.octets(attribute, _PRESENT)
    return ber.tlv(_SUBSTRINGS, ber.octets(attribute), _substrings(right.split("*")))


def _substrings(pieces: list[str]) -> bytes:
    found = []
    for number, piece in enumerate(pieces):
        tag = 0x80 if number == 0 else 0x82 if number == len(pieces) - 1 else 0x81
        if piece:
            found.append(ber.octets(_value(piece), tag))
        elif tag == 0x81:
            raise FilterError("two stars in a row")
    return ber.tlv(ber.SEQUENCE, *found)


def _extensible(left: str, right: str) -> bytes:
    """attr[:dn][:rule]:=value, or [:dn]:rule:=value"""
    attribute, *rest = left.split(":")
    by_dn = rest[:1] == ["dn"]
    rules = rest[1:] if by_dn else rest
    if len(rules) > 1 or not (attribute or rules) or "*" in right:
        raise FilterError("bad extensible match")
    out = [ber.octets(_attribute(rule), 0x81) for rule in rules]
    if attribute:
        out.append(ber.octets(_attribute(attribute), 0x82))
    out.append(ber.octets(_value(right), 0x83))
    if by_dn:
        out.append(ber.boolean(True, 0x84))
    return ber.tlv(_EXTENSIBLE, *out)


def _attribute(text: str) -> bytes:
    text = text.strip()
    if not is_attribute(text):
        raise FilterError("bad attribute name")
    return text.encode()


def _value(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    found = _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), raw)
    if raw.count(b"\\") != len(_ESCAPED.findall(raw)):
        raise FilterError("bad escape")
    return found
