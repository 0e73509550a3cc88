"""ENVELOPE, BODY and BODYSTRUCTURE."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from restante.model import HeaderEnvelope, Mailbox, Part
from restante.wire.imap.bodystructure import body, bodystructure
from restante.wire.imap.cursor import Cursor
from restante.wire.imap.envelope import EMPTY, envelope
from restante.wire.imap.limits import AUTHENTICATED

FRED = Mailbox(b"Fred", None, b"fred", b"x.test")
FACTS = HeaderEnvelope(b"today", b"Hi", (FRED,), (), (), (), (), (), None, b"<1@x>")
TEXT = Part(b"text", b"plain", ((b"charset", b"utf-8"),), 0, 10, 30, 2)


def read(data: bytes) -> Any:
    """Read nested lists back: bytes, int, None, list."""
    c = Cursor(data, replace(AUTHENTICATED, nesting=1000))

    def value() -> Any:
        if c.sees(b"("):
            c.open()
            out: list[Any] = []
            over = c.empty()
            while not over:
                out.append(value())
                over = not c.sees(b"(") and c.close()  # parts of a multipart touch
            return out
        if c.data[c.at : c.at + 1].isdigit():
            return c.number()
        return c.nstring()

    out = value()
    c.end()
    return out


def test_envelope_defaults_sender_and_reply_to() -> None:
    one = b'(("Fred" NIL "fred" "x.test"))'
    assert envelope(FACTS) == (b'("today" "Hi" %b %b %b NIL NIL NIL NIL "<1@x>")' % (one, one, one))


def test_envelope_of_nothing() -> None:
    assert envelope(HeaderEnvelope(None, None, (), (), (), (), (), (), None, None)) == EMPTY


def test_groups_keep_their_marks() -> None:
    group = (Mailbox(None, None, b"list", None), FRED, Mailbox(None, None, None, None))
    facts = replace(FACTS, to=group)
    assert b'((NIL NIL "list" NIL)("Fred" NIL "fred" "x.test")(NIL NIL NIL NIL))' in envelope(facts)


def test_text() -> None:
    assert body(TEXT) == b'("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 20 2)'
    assert bodystructure(TEXT) == (
        b'("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 20 2 NIL NIL NIL NIL)'
    )


def test_attachment() -> None:
    part = Part(
        b"image",
        b"png",
        (),
        0,
        10,
        110,
        3,
        encoding=b"base64",
        id=b"<a@b>",
        description=b"photo",
        md5=b"xyz",
        disposition=b"attachment",
        disposition_params=((b"filename", b'a "b".png'),),
        language=(b"en", b"de"),
        location=b"http://x",
    )
    assert bodystructure(part) == (
        b'("image" "png" NIL "<a@b>" "photo" "base64" 100 "xyz" '
        b'("attachment" ("filename" "a \\"b\\".png")) ("en" "de") "http://x")'
    )


def test_multipart_and_message() -> None:
    inner = replace(TEXT, envelope=FACTS)
    message = Part(b"message", b"rfc822", (), 0, 0, 50, 5, parts=(inner,))
    mixed = Part(b"multipart", b"mixed", ((b"boundary", b"x"),), 0, 0, 99, 9, parts=(TEXT, message))
    text, forwarded, subtype = read(body(mixed))
    assert text == read(body(TEXT))
    assert subtype == b"mixed"
    assert forwarded == [
        *(b"message", b"rfc822", None, None, None, b"7bit", 50),
        *(read(envelope(FACTS)), read(body(inner)), 5),
    ]
    assert bodystructure(mixed).endswith(b' "mixed" ("boundary" "x") NIL NIL NIL)')


def test_empty_multipart_and_message_still_fit_the_grammar() -> None:
    empty = Part(b"multipart", b"mixed", (), 0, 0, 0, 0)
    assert body(empty) == b'(("text" "plain" NIL NIL NIL "7bit" 0 0) "mixed")'
    message = Part(b"message", b"rfc822", (), 0, 0, 0, 0)
    assert EMPTY in body(message)
    assert read(bodystructure(message))[8][0] == b"text"


def test_a_hundred_levels() -> None:
    part = TEXT
    for _ in range(100):
        part = Part(b"multipart", b"mixed", (), 0, 0, 9, 1, parts=(part,))
    assert bodystructure(part).startswith(b"(" * 101)


@given(st.binary(max_size=20), st.binary(max_size=20) | st.none())
def test_any_octets_stay_inside_their_string(one: bytes, other: bytes | None) -> None:
    facts = replace(FACTS, subject=one, in_reply_to=other)
    part = replace(TEXT, params=((one, one),), description=other, disposition=one)
    clean = one.replace(b"\0", b"")
    assert read(envelope(facts))[1] == clean
    seen = read(bodystructure(part))
    assert seen[2] == [clean, clean]
    assert seen[4] == (None if other is None else other.replace(b"\0", b""))
    assert seen[9][0] == clean
