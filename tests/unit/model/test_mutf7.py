"""Modified UTF-7: one spelling per name."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restante.model import mutf7

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")))


@given(TEXT)
@example("&")
@example("A&B&C")
@example("Entwürfe")
@example("😀&日本")
def test_round_trip(text: str) -> None:
    assert mutf7.decode(mutf7.encode(text)) == text


@given(st.text(max_size=30))
@example("&AOQ-&AOQ-")
def test_what_decodes_is_its_only_spelling(raw: str) -> None:
    text = mutf7.decode(raw)
    assert text is None or mutf7.encode(text) == raw


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("INBOX", "INBOX"),
        ("Entw&APw-rfe", "Entwürfe"),
        ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        ("A&-B", "A&B"),
        ("&2D3eAA-", "😀"),
    ],
)
def test_known_names(raw: str, text: str) -> None:
    assert mutf7.decode(raw) == text
    assert mutf7.encode(text) == raw


@pytest.mark.parametrize(
    "raw",
    [
        "&",
        "a&",
        "&AOQ",  # not ended
        "&AGE-",  # a printable letter needs no shift
        "&AOQ-&AOQ-",  # two shifts where one does
        "&AOR-",  # bits left over
        "&AO-",  # half a character
        "&2D0-",  # half a surrogate pair
        "&3gA-",
        "&A/8-",  # "/" is not of this alphabet
        "&AOQ=-",
        "&A Q-",
        "ä",
        "a\0",
        "a\r\nb",
        "\x7f",
    ],
)
def test_other_spellings_are_refused(raw: str) -> None:
    assert mutf7.decode(raw) is None
