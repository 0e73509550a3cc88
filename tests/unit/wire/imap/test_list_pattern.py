"""LIST patterns."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.imap.list_pattern import MAX_PATTERN, ListPattern


def slow(pattern: bytes, name: bytes) -> bool:
    """The meaning, by a regular expression."""
    parts = {ord("*"): b".*", ord("%"): rb"[^.]*"}
    made = b"".join(parts.get(octet) or re.escape(bytes([octet])) for octet in pattern)
    return re.fullmatch(made, name, re.DOTALL) is not None


@given(
    st.text("ab.*%", max_size=8).map(str.encode),
    st.text("ab.", max_size=10).map(str.encode),
)
def test_agrees_with_the_definition(pattern: bytes, name: bytes) -> None:
    assert ListPattern(pattern, b".").matches(name) == slow(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        (b"*", b"INBOX.a.b", True),
        (b"%", b"INBOX", True),
        (b"%", b"INBOX.a", False),
        (b"INBOX.%", b"INBOX.a", True),
        (b"INBOX.%", b"INBOX.a.b", False),
        (b"inbox", b"INBOX", True),
        (b"inbox.a", b"INBOX.a", True),
        (b"inbox.A", b"INBOX.a", False),
        (b"inb%", b"INBOX", True),
        (b"i%x.*", b"INBOX.a", True),
        (b"inboxes", b"INBOXes", False),  # not INBOX: case counts
        (b"INBOXes", b"INBOXes", True),
        (b"%.b", b"INBOX.b", True),
        (b"", b"INBOX", False),
        (b"", b"", True),
    ],
)
def test_matches(pattern: bytes, name: bytes, wanted: bool) -> None:
    assert ListPattern(pattern, b".").matches(name) is wanted


def test_without_a_separator_percent_matches_all() -> None:
    assert ListPattern(b"%", b"").matches(b"a.b/c")


def test_no_pattern_is_expensive() -> None:
    """CVE-2026-33607: a backtracking matcher never returns from this."""
    pattern = b"*a" * 400 + b"%%%b"
    name = b"a" * 1000
    began = time.process_time()
    assert not ListPattern(pattern, b".").matches(name)
    assert time.process_time() - began < 5  # backtracking would never end


def test_an_endless_pattern_matches_nothing() -> None:
    assert not ListPattern(b"*" + b"a" * MAX_PATTERN, b".").matches(b"a" * MAX_PATTERN)
