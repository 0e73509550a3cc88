"""Checks passwords off the event loop, remembers what fitted, and hides what did not.

Invariants:
- The event loop never hashes: checks run in a small pool (hash libraries release the GIL). A
  full pool is MailError(TEMPORARY), not a growing queue.
- A remembered verdict is keyed HMAC(random key of this process, stored hash, password). The
  stored hash is read anew for every login, so a changed hash has another key: a verdict cannot
  be stale, only unused. Only "fits" is remembered. Neither passwords nor hashes are kept.
- A failed login costs one hash of the default scheme whatever was wrong: an unknown user gets a
  dummy hash, and so does a wrong password whose stored hash is of another scheme, on top of its
  own check. What such a check adds is covered by the time floor of failures (authenticator).
- Equal checks under way at the same time share one hash.
"""

import asyncio
import hmac
import os
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import argon2

from restante.model import ErrorKind, MailError
from services.auth import metrics
from services.auth.passwords import schemes

_T = TypeVar("_T")

DEFAULT_SCHEME: Final = "argon2id"


class Verifier:
    """One per process; used from the event loop."""

    def __init__(
        self,
        *,
        time_cost: int = 2,
        memory_kib: int = 19456,
        parallelism: int = 1,
        threads: int = 0,
        queue: int = 256,
        remembered: int = 65536,
    ) -> None:
        """The argon2id parameters are for new hashes; `threads` 0 is one per CPU."""
        self._hasher = argon2.PasswordHasher(time_cost, memory_kib, parallelism)
        self._pool = ThreadPoolExecutor(
            threads or len(os.sched_getaffinity(0)), thread_name_prefix="password"
        )
        self._queue = queue
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._remembered = remembered
        self._flying: dict[bytes, asyncio.Future[bool]] = {}
        self._waiting = 0
        self._dummy = self._hasher.hash(secrets.token_bytes(24))
        self.work: Counter[str] = Counter()  # hashes computed, by scheme; "hit" for remembered
        metrics.VERIFY_WAITING.follow(self, lambda own: own._waiting)

    async def hash(self, password: bytes) -> str:
        """Return a new hash of the default scheme. Raises MailError(BAD_REQUEST | TEMPORARY)."""
        if not password or b"\0" in password or len(password) > schemes.MAX_PASSWORD:
            raise MailError(
                ErrorKind.BAD_REQUEST, f"a password has 1 to {schemes.MAX_PASSWORD} bytes, no NUL"
            )
        self._enter()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._hasher.hash, password)
        finally:
            self._waiting -= 1

    def is_outdated(self, stored: str) -> bool:
        """True for a hash that takes less work to guess than a new one would.

        False for what is no hash, or what a challenge needs: clear passwords, SCRAM's and CRAM's.
        """
        scheme = schemes.scheme_of(stored)
        if not scheme or scheme in ("plain", "cram-md5") or scheme.startswith("scram-"):
            return False
        if scheme != DEFAULT_SCHEME:
            return True
        try:
            found = argon2.extract_parameters(stored[stored.index("$") :])
        except argon2.exceptions.InvalidHashError:
            return False
        work = found.time_cost * found.memory_cost
        return work < self._hasher.time_cost * self._hasher.memory_cost

    async def verify(self, stored: str, password: bytes) -> bool:
        """True where `password` fits `stored`. Raises MailError(TEMPORARY) when overloaded.

        A False does not yet cost what every failure costs: end a failed login with `spend`.
        """
        key = hmac.digest(self._key, stored.encode("utf-8", "replace") + b"\0" + password, "sha256")
        if key in self._known:
            self._known.move_to_end(key)
            self.work["hit"] += 1
            metrics.VERIFY_HIT.inc()
            return True
        flying = self._flying.get(key)
        if flying is None:
            flying = asyncio.ensure_future(self._check(key, stored, password))
            self._flying[key] = flying
            flying.add_done_callback(lambda done: self._landed(key, done))
        # A caller that gives up must not end the check of the others who wait for it.
        return await asyncio.shield(flying)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run other hashing in the pool. Raises MailError(TEMPORARY) when overloaded."""
        self._enter()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    async def spend(self, schemes_tried: set[str]) -> None:
        """Make a failed login cost a hash of the default scheme, if no check of it did."""
        if DEFAULT_SCHEME in schemes_tried:
            return
        self._enter()
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, schemes.verify, self._dummy, b"not a password")
        finally:
            self._waiting -= 1
        self.work[DEFAULT_SCHEME] += 1

    def close(self) -> None:
        """Let the pool end; checks under way finish."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _check(self, key: bytes, stored: str, password: bytes) -> bool:
        self._enter()
        scheme = schemes.scheme_of(stored) or "none"
        metrics.VERIFY_MISS.inc()
        try:
            loop = asyncio.get_running_loop()
            check = metrics.timed(scheme, schemes.verify)
            fits = await loop.run_in_executor(self._pool, check, stored, password)
        finally:
            self._waiting -= 1
        self.work[scheme] += 1
        if fits:
            self._known[key] = None
            if len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return fits

    def _landed(self, key: bytes, done: "asyncio.Future[bool]") -> None:
        self._flying.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen here, also where every caller gave up

    def _enter(self) -> None:
        if self._waiting >= self._queue:
            metrics.VERIFY_REFUSALS.inc()
            raise MailError(ErrorKind.TEMPORARY, "too many logins at once")
        self._waiting += 1
