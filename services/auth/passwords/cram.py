"""CRAM's digests (RFC 2195) from what is kept of a password.

Kept is the clear password, or the two half-eaten keys that Courier calls HMAC contexts: hex of the
outer, then the inner state, as `userdbpw -hmac-md5` prints it. Dovecot's {CRAM-MD5} is the same.
"""

import hmac
import re
from typing import Final

from restante.wire import hmac_state
from services.auth.backends.base import Record
from services.auth.passwords.schemes import clear_of

HASHES: Final = hmac_state.NAMES
"""Hashes that CRAM may use: cram-md5, cram-sha1, cram-sha256."""

_DOVECOT: Final = re.compile(r"\{(?:CRAM|HMAC)-MD5\}([0-9a-f]{64})\Z", re.IGNORECASE)


def contexts_of(record: Record, hash_name: str, service: str) -> str:
    """Return the record's contexts for a service, "" where it has neither them nor the clear.

    Courier's order: those of the service, those of all services, the clear password.
    """
    for name in (f"{service}-hmac-{hash_name}", f"hmac-{hash_name}"):
        if record.contexts.get(name):
            return record.contexts[name]
    stored = record.password_for(service)
    match = _DOVECOT.match(stored)
    if match and hash_name == "md5":
        return match[1]
    clear = record.clear.encode("utf-8", "surrogateescape") or clear_of(stored)
    return hmac_state.contexts(hash_name, clear) if clear else ""


def fits(hash_name: str, contexts: str, challenge: bytes, digits: bytes) -> bool:
    """True where a hexadecimal digest answers a challenge. False for contexts that are none."""
    try:
        expected = hmac_state.digest(hash_name, contexts, challenge)
    except ValueError:
        return False
    return hmac.compare_digest(expected.hex().encode(), digits.lower())
