"""The octets of BODY[...] sections: slices of the wire form by offsets, nothing is parsed here.

RFC 3501 section 6.4.5. A part that does not exist is NIL.
"""

from restante.mime.headers import header_end, select_fields
from restante.store.facts import USUAL_FIELDS, Facts
from restante.wire.imap.encode import NIL
from restante.wire.imap.fetch_items import Section, SectionText, Transfer


def needs_facts(section: Section) -> bool:
    """True if the section cannot be cut from the message alone."""
    return bool(section.part)


def in_facts(section: Section) -> bool:
    """True if the cached header lines answer this section for nearly every message."""
    return (
        section.text is SectionText.FIELDS
        and not section.part
        and section.transfer is Transfer.RAW
        and USUAL_FIELDS.issuperset(field_names(section))
    )


def field_names(section: Section) -> frozenset[bytes]:
    """Return the names asked for, in lower case."""
    return frozenset(name.lower() for name in section.fields)


def cut(wire: bytes, facts: Facts | None, section: Section) -> bytes | None:
    """Return the octets of a section without its partial range, None where there is no such part.

    `wire` is the message with CRLF line ends, `facts` are given if `needs_facts`.
    """
    if not section.part:
        return _of_message(wire, 0, header_end(wire, 0, len(wire)), len(wire), section)
    part = facts.section(section.part) if facts is not None else None
    if part is None:
        return None
    if section.text is SectionText.ALL:
        return wire[part.body : part.end]
    if section.text is SectionText.MIME:
        return wire[part.header : part.body]
    if part.message is None:
        return None
    return _of_message(wire, *part.message, section)


def _of_message(wire: bytes, start: int, body: int, end: int, section: Section) -> bytes | None:
    match section.text:
        case SectionText.ALL:
            return wire if start == 0 and end == len(wire) else wire[start:end]
        case SectionText.HEADER:
            return wire[start:body]
        case SectionText.TEXT:
            return wire[body:end]
        case SectionText.MIME:
            return None
    exclude = section.text is SectionText.FIELDS_NOT
    return select_fields(wire, start, body, field_names(section), exclude=exclude) + b"\r\n"


def part_of(data: bytes, section: Section) -> bytes:
    """Return the partial range <offset.octets> of a section's octets, or all of them."""
    if section.partial is None:
        return data
    offset, octets = section.partial
    return data[offset : offset + octets]


def value(data: bytes | None, section: Section) -> bytes:
    """Return a section's value as a literal, or NIL."""
    if data is None:
        return NIL
    data = part_of(data, section)
    return b"{%d}\r\n%b" % (len(data), data)
