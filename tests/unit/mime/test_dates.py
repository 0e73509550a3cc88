import datetime
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.mime.dates import Date, days_of, parse_date


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        (b"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"),
        (b"21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06+00:00"),
        (b"21 Nov 03 09:55 EST", "2003-11-21T09:55:00-05:00"),
        (b"Thu,\t13 Feb 1969 23:32 -0330 (Newfoundland Time)", "1969-02-13T23:32:00-03:30"),
        (b"Mon 6 June 2005 22:21:22 +0200", "2005-06-06T22:21:22+02:00"),
        (b"Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37+00:00"),
        (b"Sun Nov 6 08:49:37 CET 1994", "1994-11-06T08:49:37+01:00"),
        (b"2024-02-29T12:00:00Z", "2024-02-29T12:00:00+00:00"),
        (b"2024-02-29 12:00:00.5 +05:30", "2024-02-29T12:00:00+05:30"),
        (b"1 Jan 2000", "2000-01-01T00:00:00+00:00"),
        (b"Sat, 31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59+00:00"),
        (b"1 Jan 2000 12:30:00 PM +0000", "2000-01-01T12:30:00+00:00"),
    ],
)
def test_dates(value: bytes, iso: str) -> None:
    expected = datetime.datetime.fromisoformat(iso)
    offset = expected.utcoffset()
    assert offset is not None
    assert parse_date(value) == Date(int(expected.timestamp()), int(offset.total_seconds()) // 60)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"<hr>",
        b"30 Feb 2000 1:00:00 +0000",
        b"1 Foo 2000",
        b"1 Jan 2000 25:00:00",
        b"0 Jan 2000",
    ],
)
def test_no_date(value: bytes) -> None:
    assert parse_date(value) is None


@given(st.datetimes(timezones=st.timezones()))
def test_days(moment: datetime.datetime) -> None:
    ordinal = moment.toordinal() - datetime.date(1970, 1, 1).toordinal()
    assert days_of(moment.year, moment.month, moment.day) == ordinal


@given(st.binary(max_size=60))
def test_never_raises(value: bytes) -> None:
    parse_date(value)
    parse_date(b"Fri, 21 Nov 1997 09:55:06" + value)


def test_real_messages(real_messages: dict[str, bytes]) -> None:
    for name, wire in real_messages.items():
        line = next((v for v in wire.split(b"\r\n") if v.lower().startswith(b"date:")), b"")[5:]
        try:
            theirs = parsedate_to_datetime(line.decode())
        except (ValueError, TypeError, OverflowError):
            continue
        ours = parse_date(line)
        assert ours is not None, name
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=datetime.UTC)
        assert ours.seconds == int(theirs.timestamp()), name
