"""Times as commands take and show them: UTC, to the second."""

import datetime
import re
import time
from typing import Final

from restante.cli import output

_UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400}


def shown(seconds: int) -> str:
    """Return a time in unix seconds for people, "" for 0."""
    if not seconds:
        return ""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def expiry(text: str) -> int:
    """Return the unix seconds that "12h", "90d", "4w" from now or "2030-01-31" mean, 0 for "".

    Ends the command for anything else.
    """
    if not text:
        return 0
    span = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text)
    if span is not None:
        return int(time.time()) + int(span[1]) * _UNITS[span[2]]
    try:
        day = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
    except ValueError:
        output.fail(f"when is {text!r}? Say 12h, 90d, 4w or 2030-01-31", output.USAGE)
        return 0
    return int(day.timestamp())
