"""SASLprep: the examples of RFC 4013 section 3, and idempotence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.sasl.prep import saslprep


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("e\u0301", "\u00e9"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\U0001f600", "\U0001f600"),
        ("", ""),
    ],
)
def test_examples(given_: str, expected: str) -> None:
    assert saslprep(given_) == expected


@pytest.mark.parametrize(
    "text", ["\u0007", "\u0627\u0031", "a\u0627", "\u0000", "\ufffd", "\ue000"]
)
def test_prohibited(text: str) -> None:
    with pytest.raises(ValueError, match=r"prohibited|mixed"):
        saslprep(text)


@given(st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=30))
def test_prepared_text_stays_as_it_is(text: str) -> None:
    try:
        once = saslprep(text)
    except ValueError:
        return
    assert saslprep(once) == once
