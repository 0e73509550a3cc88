"""Dates that clients send (RFC 3501 section 9: date, date-time)."""

import re
from calendar import timegm
from datetime import date
from typing import Final

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1
    )
}
_DATE: Final = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})\Z").match
_DATE_TIME: Final = re.compile(
    rb"([ \d]?\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\Z"
).match


def parse_date(text: bytes) -> date:
    """Read `1-Feb-1994`, without quotes. Raises ValueError."""
    found = _DATE(text)
    if found is None:
        raise ValueError("bad date")
    return date(int(found[3]), _month(found[2]), int(found[1]))


def parse_date_time(text: bytes) -> int:
    """Read `17-Jul-1996 02:44:25 -0700`, without quotes, as Unix seconds. Raises ValueError."""
    found = _DATE_TIME(text)
    if found is None:
        raise ValueError("bad date-time")
    day = date(int(found[3]), _month(found[2]), int(found[1]))
    hour, minute, second = int(found[4]), int(found[5]), int(found[6])
    zone_hours, zone_minutes = int(found[8]), int(found[9])
    if hour > 23 or minute > 59 or second > 60 or zone_hours > 23 or zone_minutes > 59:
        raise ValueError("bad date-time")
    offset = zone_hours * 3600 + zone_minutes * 60
    local = timegm((day.year, day.month, day.day, hour, minute, second))
    return local + offset if found[7] == b"-" else local - offset


def _month(name: bytes) -> int:
    month = _MONTHS.get(name.lower())
    if month is None:
        raise ValueError("bad month")
    return month
