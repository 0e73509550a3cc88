"""Modified UTF-7: one spelling per name."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restante.wire.imap import mutf7

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")))


@given(TEXT)
@example("&")
@example("A&B&C")
@example("Entwürfe")
@example("😀&日本")
def test_round_trip(text: str) -> None:
    assert mutf7.decode(mutf7.encode(text)) == text


@given(st.binary(max_size=30))
@example(b"&AOQ-&AOQ-")
def test_what_decodes_is_its_only_spelling(raw: bytes) -> None:
    try:
        text = mutf7.decode(raw)
    except mutf7.BadNameError:
        return
    assert mutf7.encode(text) == raw


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"INBOX", "INBOX"),
        (b"Entw&APw-rfe", "Entwürfe"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"A&-B", "A&B"),
        (b"&2D3eAA-", "😀"),
    ],
)
def test_known_names(raw: bytes, text: str) -> None:
    assert mutf7.decode(raw) == text
    assert mutf7.encode(text) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"&",
        b"a&",
        b"&AOQ",  # not ended
        b"&AGE-",  # a printable letter needs no shift
        b"&AOQ-&AOQ-",  # two shifts where one does
        b"&AOR-",  # bits left over
        b"&AO-",  # half a character
        b"&2D0-",  # half a surrogate pair
        b"&3gA-",
        b"&A/8-",  # "/" is not of this alphabet
        b"&AOQ=-",
        b"&A Q-",
        b"\xc3\xa4",
        b"a\0",
        b"a\r\nb",
        b"\x7f",
    ],
)
def test_other_spellings_are_refused(raw: bytes) -> None:
    with pytest.raises(mutf7.BadNameError):
        mutf7.decode(raw)
