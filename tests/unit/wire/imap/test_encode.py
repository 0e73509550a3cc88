"""What is written can be read back, whatever octets go in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import Flag
from restante.wire.imap import encode
from restante.wire.imap.cursor import Cursor
from restante.wire.imap.dates import parse_date_time
from restante.wire.imap.flags import read_flag_list
from restante.wire.imap.limits import AUTHENTICATED

OCTETS = st.binary(max_size=60) | st.text('ab"\\ {}%*()\t', max_size=20).map(str.encode)


def cursor(data: bytes) -> Cursor:
    return Cursor(data, AUTHENTICATED)


@given(OCTETS)
def test_strings_round_trip_without_nul(value: bytes) -> None:
    for written in (encode.string(value), encode.nstring(value), encode.astring(value)):
        c = cursor(written)
        assert c.astring() == value.replace(b"\0", b"")
        c.end()


@given(st.binary(max_size=60))
def test_literals_are_untouched(value: bytes) -> None:
    head, _, octets = encode.literal(value).partition(b"\r\n")
    assert head == b"{%d}" % len(value)
    assert octets == value


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_mailbox_names_are_quoted(name: str) -> None:
    written = encode.mailbox(name.encode())
    assert written[:1] == b'"'
    assert cursor(written).string() == name.encode()


@pytest.mark.parametrize(
    ("value", "string", "astring"),
    [
        (b"abc", b'"abc"', b"abc"),
        (b"", b'""', b'""'),
        (b"NIL", b'"NIL"', b'"NIL"'),
        (b"nil", b'"nil"', b'"nil"'),
        (b'a"b\\', b'"a\\"b\\\\"', b'"a\\"b\\\\"'),
        (b"a]", b'"a]"', b"a]"),
        (b"a\r\nb", b"{4}\r\na\r\nb", b"{4}\r\na\r\nb"),
        (b"\xe4", b"{1}\r\n\xe4", b"{1}\r\n\xe4"),
        (b"a\0b", b"{2}\r\nab", b"{2}\r\nab"),
        (b"a\x01b", b"{3}\r\na\x01b", b"{3}\r\na\x01b"),
    ],
)
def test_forms(value: bytes, string: bytes, astring: bytes) -> None:
    assert encode.string(value) == string
    assert encode.astring(value) == astring


def test_nil() -> None:
    assert encode.nstring(None) == b"NIL"


@given(st.integers(0, 63), st.lists(st.sampled_from(["a", "Work", "$Junk"]), unique=True))
def test_flag_lists_round_trip(mask: int, keywords: list[str]) -> None:
    for recent in (False, True):
        written = encode.flag_list(mask, keywords, recent=recent)
        assert read_flag_list(cursor(written)) == (Flag(mask), tuple(keywords))
        assert (b"\\Recent" in written) is recent


@given(st.integers(0, 253402300799))
def test_internal_dates_round_trip(seconds: int) -> None:
    written = encode.internal_date(seconds)
    assert len(written) == 28
    assert parse_date_time(written.strip(b'"')) == seconds


def test_impossible_dates_are_held_in_the_grammar() -> None:
    assert encode.internal_date(-5) == b'" 1-Jan-1970 00:00:00 +0000"'
    assert encode.internal_date(1 << 60) == b'"31-Dec-9999 23:59:59 +0000"'


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"17-Jul-1996 02:44:25 -0700", 837596665),
        (b" 1-jan-1970 00:00:00 +0000", 0),
        (b"1-Jan-1970 00:00:00 +0000", 0),
        (b"01-Jan-1970 01:00:00 +0100", 0),
    ],
)
def test_date_times(text: bytes, seconds: int) -> None:
    assert parse_date_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"32-Jan-1970 00:00:00 +0000",
        b"29-Feb-2023 00:00:00 +0000",
        b"1-Foo-1970 00:00:00 +0000",
        b"1-Jan-0000 00:00:00 +0000",
        b"1-Jan-1970 24:00:00 +0000",
        b"1-Jan-1970 00:00:00",
        b"1-Jan-1970 00:00:00 +2400",
        b"1-Jan-1970 00:00:00 +0060",
        b"1-Jan-1970 00:00:00 +0000 ",
    ],
)
def test_bad_date_times(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_date_time(text)
