"""The same message, the same questions, two servers: ours and Dovecot must say the same.

What is compared are values, not spelling. A difference that is known and wanted stands in
DIFFERENT with its reason.
"""

import re
from collections.abc import Iterator

import pytest

from tests.transcripts.imap.conftest import Connect
from tests.transcripts.imap.odd_messages import ODD
from tests.transcripts.imap.samples import SAMPLES
from tests.transcripts.imap.values import Value, pairs, response

ITEMS = [
    "RFC822.SIZE",
    "ENVELOPE",
    "BODYSTRUCTURE",
    "BODY",
    "BODY.PEEK[]",
    "BODY.PEEK[HEADER]",
    "BODY.PEEK[TEXT]",
    "BODY.PEEK[HEADER.FIELDS (From Subject X-Odd)]",
    "BODY.PEEK[HEADER.FIELDS.NOT (From X-Odd)]",
    "BODY.PEEK[TEXT]<2.7>",
    *(f"BODY.PEEK[{n}]" for n in ("1", "2", "3", "1.1", "1.2", "2.1", "1.1.1", "3.1")),
    *(f"BODY.PEEK[{n}.MIME]" for n in ("1", "2", "1.1", "3.1")),
    *(f"BODY.PEEK[{n}.HEADER]" for n in ("1", "2", "3", "1.1")),
    *(f"BODY.PEEK[{n}.TEXT]" for n in ("1", "2", "3", "1.1")),
    "BODY.PEEK[3.HEADER.FIELDS (Subject)]",
]

MESSAGES = {**SAMPLES, **ODD}

STRUCTURE = ("BODY", "BODYSTRUCTURE")
FIRST_PART = (*STRUCTURE, "BODY.PEEK[1]", "BODY.PEEK[1.MIME]")

_TEXT = "without a part it is shown as text, so that its reader sees something"
_DELIMITER = "the line end before a delimiter belongs to the delimiter (RFC 2046 section 5.1.1)"
_TYPE = "what cannot be read is text/plain (RFC 2045 section 5.2)"

DIFFERENT: dict[tuple[str, str], str] = {
    ("no_end", "BODY.PEEK[HEADER.FIELDS.NOT (From X-Odd)]"): "lines are ended",
    ("folded", "ENVELOPE"): "unfolding removes line ends alone (RFC 2822 section 2.2.3)",
    ("control", "ENVELOPE"): "as it was sent",
    ("addresses", "ENVELOPE"): "a missing domain is empty, not invented",
    ("two_froms", "ENVELOPE"): "the first of two subjects",
    **{(name, item): _TYPE for name in ("bad_type", "empty_type") for item in STRUCTURE},
    **{("unknown_encoding", item): "the encoding is told as it is" for item in STRUCTURE},
    **{
        (name, item): _TEXT
        for name in ("no_boundary", "boundary_never", "empty_multipart")
        for item in FIRST_PART
    },
    ("boundary_prefix", "BODY.PEEK[1]"): _DELIMITER,
    **{
        ("multipart_message", item): _DELIMITER
        for item in (*STRUCTURE, "BODY.PEEK[3]", "BODY.PEEK[3.TEXT]")
    },
}


def answers(connect: Connect, name: str) -> dict[str, Value]:
    """Append the message and ask one item at a time."""
    with connect(f"oracle-{name}") as wire:
        assert wire.append("INBOX", MESSAGES[name]).startswith(b"OK")
        wire.ok("SELECT INBOX")
        out: dict[str, Value] = {}
        for item in ITEMS:
            *lines, last = wire.run(f"FETCH 1 ({item})")
            assert last.startswith(b"OK"), (item, last)
            for line in lines:
                value = response(line)
                if value[2] == "FETCH" and isinstance(value[3], list):
                    out[item] = normal(item, next(iter(pairs(value[3]).values())))
        return out


def normal(item: str, value: Value) -> Value:
    """Return the value as both may spell it: what is not there as "", structures in lower case."""
    if isinstance(value, list):
        return [normal(item, one) for one in value]
    if not item.startswith("BODY.PEEK"):
        return value.lower() if value is not None and item.startswith("BODY") else value
    return value or ""


def part_numbers(structure: Value, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each part number of a BODY value, and whether it is a message."""
    assert isinstance(structure, list)
    if isinstance(structure[0], list):
        for number, part in enumerate(filter(lambda v: isinstance(v, list), structure), 1):
            yield from _part(part, f"{prefix}{number}")
    else:
        yield from _part(structure, f"{prefix}1")


def _part(part: Value, number: str) -> Iterator[tuple[str, bool]]:
    assert isinstance(part, list)
    if isinstance(part[0], list):
        yield number, False
        yield from part_numbers(part, f"{number}.")
    else:
        message = part[:2] == ["message", "rfc822"]
        yield number, message
        if message:
            yield from part_numbers(part[8], f"{number}.")


def is_there(item: str, parts: dict[str, bool]) -> bool:
    """True if the section belongs to a part that there is."""
    found = re.match(r"BODY\.PEEK\[([0-9.]+?)(?:\.(HEADER|TEXT|MIME)(?:\.FIELDS)?)?[ \]]", item)
    if found is None:
        return True
    return found[1] in parts and (found[2] in (None, "MIME") or parts[found[1]])


@pytest.mark.parametrize("name", MESSAGES)
def test_same_answers(name: str, restante: Connect, oracle: Connect) -> None:
    ours, theirs = answers(restante, name), answers(oracle, name)
    parts = dict(part_numbers(ours["BODY"]))
    for item in ITEMS:
        if (name, item) in DIFFERENT:
            assert ours[item] != theirs[item], "no difference any more"
        elif is_there(item, parts):
            assert ours[item] == theirs[item], item
        else:
            assert ours[item] == "", item
