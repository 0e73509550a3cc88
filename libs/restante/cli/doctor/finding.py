"""What a check says."""

from dataclasses import dataclass
from typing import Final

OK: Final = "OK"
WARN: Final = "WARN"
FAIL: Final = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: OK, WARN (it works, but) or FAIL, of what, and what to do about it."""

    status: str
    what: str
    text: str
    advice: str = ""


def ok(what: str, text: str) -> Finding:
    """All is well."""
    return Finding(OK, what, text)


def warn(what: str, text: str, advice: str) -> Finding:
    """It works, or may not be meant."""
    return Finding(WARN, what, text, advice)


def fail(what: str, text: str, advice: str) -> Finding:
    """It does not work, or is not safe."""
    return Finding(FAIL, what, text, advice)
