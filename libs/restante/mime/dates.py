"""Date fields, tolerantly: RFC 5322 section 3.3 with the obsolete forms, asctime, ISO 8601."""

import re
from dataclasses import dataclass
from typing import Final

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1
    )
}
_ZONES: Final = {
    b"ut": 0, b"utc": 0, b"gmt": 0, b"z": 0, b"est": -300, b"edt": -240, b"cst": -360,
    b"cdt": -300, b"mst": -420, b"mdt": -360, b"pst": -480, b"pdt": -420,
    b"bst": 60, b"cet": 60, b"cest": 120, b"met": 60, b"mest": 120, b"eet": 120, b"eest": 180,
    b"jst": 540,
}  # fmt: skip
_TIME: Final = rb"(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?(?:\.\d{1,9})?(?:\s*(am|pm))?"
_RFC: Final = re.compile(
    rb"\s*(?:[a-z]{2,12}\.?\s*,?\s*)?(\d{1,2})\s*[- ./]\s*([a-z]{3})[a-z]{0,9}"
    rb"\.?\s*[- ./,]\s*(\d{2,4}),?"
    rb"(?:\s+" + _TIME + rb")?\s*(?:\"?([+-]\d{2}:?\d{2}|[a-z]{1,5}))?",
    re.IGNORECASE,
)
_ASCTIME: Final = re.compile(
    rb"\s*(?:[a-z]{2,12}\s*,?\s+)?([a-z]{3})[a-z]{0,9}\s+(\d{1,2}),?\s+"
    + _TIME
    + rb"\s+([+-]\d{4}|[a-z]{1,5})?\s*(\d{4})\s*([+-]\d{4})?",
    re.IGNORECASE,
)
_ISO: Final = re.compile(
    rb"\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:[t ]\s*" + _TIME + rb")?\s*(z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class Date:
    """A point in time and the zone it was written in."""

    seconds: int  # unix time
    zone: int  # minutes east of UTC


def parse_date(value: bytes) -> Date | None:
    """Parse the value of a Date field; None where no date can be made of it. Never raises."""
    value = value[:_LENGTH]
    if hit := _RFC.match(value):
        day, month_name, year, hour, minute, second, half, zone = hit.groups()
        month = _MONTHS.get(month_name.lower(), 0)
        if len(year) < 4:  # RFC 5322 section 4.3
            number = int(year)
            year_number = number + (2000 if number < 50 and len(year) == 2 else 1900)
        else:
            year_number = int(year)
    elif hit := _ASCTIME.match(value):
        month_name, day, hour, minute, second, half, zone, year, late_zone = hit.groups()
        zone = late_zone or zone
        month = _MONTHS.get(month_name.lower(), 0)
        year_number = int(year)
    elif hit := _ISO.match(value):
        year, month_digits, day, hour, minute, second, half, zone = hit.groups()
        month, year_number = int(month_digits), int(year)
    else:
        return None
    clock = _clock(hour, minute, second, half)
    days = days_of(year_number, month, int(day))
    if clock is None or days is None:
        return None
    offset = zone_minutes(zone)
    return Date(days * 86400 + clock - offset * 60, offset)


def _clock(
    hour: bytes | None, minute: bytes | None, second: bytes | None, half: bytes | None
) -> int | None:
    h, m, s = int(hour or 0), int(minute or 0), int(second or 0)
    if half:
        h = h % 12 + (12 if half.lower() == b"pm" else 0)
    return h * 3600 + m * 60 + min(s, 59) if h < 24 and m < 60 and s < 61 else None


def zone_minutes(zone: bytes | None) -> int:
    """Return minutes east of UTC of "+hhmm" or a zone's name; what is unknown counts as UTC."""
    if not zone:
        return 0
    if zone[:1] in b"+-":
        digits = zone[1:].replace(b":", b"")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        if minutes > 24 * 60:
            return 0
        return -minutes if zone[:1] == b"-" else minutes
    return _ZONES.get(zone.lower(), 0)


def days_of(year: int, month: int, day: int) -> int | None:
    """Return the days from 1970-01-01 to a date of the Gregorian calendar; None if impossible."""
    if not (1 <= month <= 12 and 1 <= year <= 9999):
        return None
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 29 + leap - 1 if month == 2 else 30 + (month in (1, 3, 5, 7, 8, 10, 12))
    if not 1 <= day <= longest:
        return None
    # Years that start in March put the leap day at the end.
    shifted = year - (month <= 2)
    era, of_era = divmod(shifted, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
