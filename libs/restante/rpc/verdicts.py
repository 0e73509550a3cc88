"""Verdicts of auth that a worker may use again, and what makes them void.

A verdict is the account that a right password opened. Wrong ones are never kept, nor is a
password: the key is an HMAC-SHA256, under a random key of this object, of everything that the
verdict depends on.

Invariants
- Verdicts are used and added only while the stream of revocations is synced (`open`); any break
  (`close`) drops all of them.
- Between a question and its answer the account may change, and the news of that may arrive before
  the answer. So every question is a Flight, which hears what is revoked while it is in the air:
  an answer that was touched is not kept, and one whose account's sessions were ended does not
  open a session.
"""

import hmac
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from restante.model import Account
from restante.rpc import metrics
from restante.rpc.revocation import Revocation

MAX_VERDICTS: Final = 10_000


class Flight:
    """One question to auth that has no answer yet."""

    __slots__ = ("_ended", "_touched")

    def __init__(self) -> None:
        self._touched: set[str] = set()
        self._ended: set[str] = set()

    def note(self, revocation: Revocation) -> None:
        """Remember what was revoked meanwhile."""
        self._touched.add(revocation.address)
        if revocation.ends_sessions:
            self._ended.add(revocation.address)

    def touched(self, address: str) -> bool:
        """True if the answer may be older than a change of the account."""
        return address in self._touched or "" in self._touched

    def ended(self, address: str) -> bool:
        """True if the account's sessions were ended meanwhile."""
        return address in self._ended or "" in self._ended


class Verdicts:
    """A bounded cache of accounts by what was asked. Used from one event loop only."""

    def __init__(
        self,
        seconds: float,
        *,
        limit: int = MAX_VERDICTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` a verdict is good for; 0 keeps none. Closed until `open` is called."""
        self._seconds, self._limit, self._clock = seconds, limit, clock
        self._secret = os.urandom(32)
        self._open = False
        self._known: dict[bytes, tuple[float, Account]] = {}  # oldest first
        self._keys: dict[str, set[bytes]] = {}  # of each address
        self._flights: set[Flight] = set()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def usable(self) -> bool:
        """True while verdicts may be kept and used."""
        return self._open and self._seconds > 0

    @property
    def is_open(self) -> bool:
        """True while the stream of revocations is synced."""
        return self._open

    def key(self, user: str, password: str, *, service: str, tls: bool, mechanism: str) -> bytes:
        """Return the key of a question; different questions never have one text."""
        parts = (user, password, service, mechanism, "tls" if tls else "")
        data = b"".join(
            b"%d:%b" % (len(part), part)
            for part in (text.encode("utf-8", "surrogatepass") for text in parts)
        )
        return hmac.digest(self._secret, data, "sha256")

    def get(self, key: bytes) -> Account | None:
        """Return the account of a verdict that may be used now."""
        found = self._known.get(key) if self.usable else None
        if found is None:
            metrics.MISS.inc()
            return None
        if found[0] < self._clock():
            metrics.STALE.inc()
            self._drop(key)
            return None
        metrics.HIT.inc()
        return found[1]

    @contextmanager
    def asking(self) -> Iterator[Flight]:
        """Give the flight of a question that is asked inside."""
        flight = Flight()
        self._flights.add(flight)
        try:
            yield flight
        finally:
            self._flights.discard(flight)

    def put(self, key: bytes, account: Account, flight: Flight) -> None:
        """Keep a verdict that was still open to use when its question was asked."""
        if not self.usable or flight.touched(account.address):
            return
        if key in self._known:
            self._drop(key)
        elif len(self._known) >= self._limit:
            self._drop(next(iter(self._known)))
        self._known[key] = (self._clock() + self._seconds, account)
        self._keys.setdefault(account.address, set()).add(key)

    def revoke(self, revocation: Revocation) -> None:
        """Drop what was revoked, here and from what is being asked."""
        for flight in self._flights:
            flight.note(revocation)
        if not revocation.address:
            self._known.clear()
            self._keys.clear()
        for key in self._keys.pop(revocation.address, ()):
            del self._known[key]

    def open(self) -> None:
        """The stream of revocations is synced."""
        self._open = True

    def close(self) -> None:
        """It is not: call `revoke` for everything, too."""
        self._open = False

    def _drop(self, key: bytes) -> None:
        _, account = self._known.pop(key)
        keys = self._keys[account.address]
        keys.discard(key)
        if not keys:
            del self._keys[account.address]
