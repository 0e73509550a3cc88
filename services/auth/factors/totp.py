"""One-time codes of an authenticator app: TOTP (RFC 6238), SHA-1, 6 digits, 30 seconds.

Invariant: a step counts once, and none before it counts afterwards (section 5.2): who stores the
step that fitted does so only where it is newer than the one stored (`advance` in store.py).
"""

from typing import Final

import pyotp
from pyotp.utils import strings_equal

PERIOD: Final = 30  # seconds
DRIFT: Final = 1  # steps that a clock may be early or late
DIGITS: Final = 6


def new_secret() -> str:
    """Return a secret of 160 bits in base32."""
    return pyotp.random_base32(32)


def uri(secret: str, address: str, issuer: str) -> str:
    """Return the otpauth:// URI for a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=address, issuer_name=issuer)


def fitting_step(secret: str, code: str, now: float, last_step: int) -> int | None:
    """Return the step whose code this is, None where it fits none that may still be used.

    `now` in unix seconds; `last_step` is the newest step used so far. Spaces in the code are
    allowed, apps show them.
    """
    code = "".join(code.split())
    if not (len(code) == DIGITS and code.isascii() and code.isdigit()):
        return None
    totp = pyotp.TOTP(secret)
    current = int(now) // PERIOD
    found = None
    for step in range(max(0, current - DRIFT), current + DRIFT + 1):
        if strings_equal(totp.generate_otp(step), code) and step > last_step:
            found = step
    return found
