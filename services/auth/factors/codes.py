"""Generated secrets that people type: recovery codes and app passwords.

The alphabet has 32 signs, none of which looks like another: no l, o, 0 or 1. Both kinds are
random, so a plain SHA-256 is all that needs to be kept: nobody can guess what it was made of.
"""

import hashlib
import secrets
from typing import Final

ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
GROUP: Final = 4

APP_PASSWORD: Final = 26  # signs: 130 bits
RECOVERY_CODE: Final = 16  # signs: 80 bits
RECOVERY_CODES: Final = 10

_SIGNS: Final = frozenset(ALPHABET)


def generate(length: int) -> str:
    """Return random signs in groups: "abcd-efgh-..."."""
    signs = "".join(secrets.choice(ALPHABET) for _ in range(length))
    return "-".join(signs[at : at + GROUP] for at in range(0, length, GROUP))


def digest(typed: str, length: int) -> str:
    """Return the digest of what somebody typed, "" where it cannot be such a code.

    Case, spaces and dashes do not matter.
    """
    if len(typed) > 2 * length:
        return ""
    signs = "".join(typed.split()).replace("-", "").lower()
    if len(signs) != length or not _SIGNS.issuperset(signs):
        return ""
    return hashlib.sha256(signs.encode()).hexdigest()
