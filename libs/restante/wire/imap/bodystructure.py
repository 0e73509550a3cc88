"""BODY and BODYSTRUCTURE, ready to send (RFC 3501 section 7.4.2).

Recursion is as deep as the part tree, which the MIME parser bounds at 100.
"""

from typing import Final

from restante.model import Part
from restante.model.part import Params
from restante.wire.imap.encode import NIL, nstring, string
from restante.wire.imap.envelope import EMPTY, envelope

# The grammar wants at least one part in a multipart and a structure in every message; where
# the stored message has none, it is an empty text.
_NOTHING: Final = b'("text" "plain" NIL NIL NIL "7bit" 0 0)'
_NOTHING_EXTENDED: Final = b'("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL)'


def body(part: Part) -> bytes:
    """Return BODY: without extension data."""
    return _structure(part, extended=False)


def bodystructure(part: Part) -> bytes:
    """Return BODYSTRUCTURE: with extension data."""
    return _structure(part, extended=True)


def _structure(part: Part, *, extended: bool) -> bytes:
    nothing = _NOTHING_EXTENDED if extended else _NOTHING
    if part.is_multipart:
        children = b"".join([_structure(p, extended=extended) for p in part.parts]) or nothing
        if not extended:
            return b"(%b %b)" % (children, string(part.subtype))
        return b"(%b %b %b %b)" % (
            children,
            string(part.subtype),
            _params(part.params),
            _disposition_language_location(part),
        )
    out = [
        string(part.type),
        string(part.subtype),
        _params(part.params),
        nstring(part.id),
        nstring(part.description),
        string(part.encoding),
        b"%d" % (part.end - part.body),
    ]
    if part.is_message:
        inner = part.parts[0] if part.parts else None
        facts = inner.envelope if inner is not None else None
        out.append(EMPTY if facts is None else envelope(facts))
        out.append(nothing if inner is None else _structure(inner, extended=extended))
        out.append(b"%d" % part.lines)
    elif part.type == b"text":
        out.append(b"%d" % part.lines)
    if extended:
        out.append(nstring(part.md5))
        out.append(_disposition_language_location(part))
    return b"(%b)" % b" ".join(out)


def _disposition_language_location(part: Part) -> bytes:
    disposition = NIL
    if part.disposition is not None:
        disposition = b"(%b %b)" % (string(part.disposition), _params(part.disposition_params))
    language = b"(%b)" % b" ".join(map(string, part.language)) if part.language else NIL
    return b"%b %b %b" % (disposition, language, nstring(part.location))


def _params(params: Params) -> bytes:
    if not params:
        return NIL
    return b"(%b)" % b" ".join(string(item) for pair in params for item in pair)
