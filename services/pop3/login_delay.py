"""LOGIN-DELAY (RFC 2449 section 6.5): when did an account last log in?

A table shared by the worker processes of this host: made before the fork, in anonymous memory. A
slot holds a keyed hash of the address and a time; two accounts that meet in one slot push each
other out, which only ever lets a login pass early. Writes of 8 aligned bytes need no lock.
"""

import mmap
import os
import time
from hashlib import blake2b
from typing import Final

_SLOTS: Final = 1 << 16


class LoginTimes:
    """Last login per account. `delay` in seconds; 0 is off and costs nothing."""

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._key = os.urandom(16)
        self._table = memoryview(mmap.mmap(-1, _SLOTS * 8)).cast("Q") if delay else None

    def early(self, address: str) -> bool:
        """True where the account logged in less than `delay` seconds ago; else note this login."""
        if self._table is None:
            return False
        digest = int.from_bytes(
            blake2b(address.encode(), digest_size=8, key=self._key).digest(), "little"
        )
        slot, tag = digest % _SLOTS, digest >> 32
        now = int(time.monotonic())
        entry = self._table[slot]
        if entry >> 32 == tag and now - (entry & 0xFFFFFFFF) < self._delay:
            return True
        self._table[slot] = tag << 32 | now
        return False
