"""Connection limits that hold across the worker processes of one service.

Counts live in an anonymous mmap made before the fork. Each worker writes only its own column, so
that the parent can clear the counts of a worker that died; a limit is compared with the sum over
the columns. Changes happen under a POSIX record lock on a memory file, which the kernel releases
when its holder is killed. The lock excludes processes, not threads: use it from the loop's thread.

Two changes need no lock. A slot in which this worker counts something cannot be given away, so
taking one back is safe. Adding one to such a slot is safe as long as every worker could add one
at this moment without reaching the limit.

Keys are keyed hashes in a 16-way table. A key without counts gives its place to the next one. A
peer cannot steer keys into one bucket, since it does not know the hash key; should a bucket be
full all the same, the connection is refused like one over its limit.
"""

import fcntl
import ipaddress
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

_WAYS: Final = 16
_BUCKETS: Final = 4096
_SLOTS: Final = _WAYS * _BUCKETS
_MAX_COUNT: Final = 2**32 - 1


class SharedCounts:
    """Named counters with one column per worker."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._map = mmap.mmap(-1, _SLOTS * (8 + 4 * workers))
        view = memoryview(self._map)
        self._keys = view[: _SLOTS * 8].cast("Q")
        self._counts = view[_SLOTS * 8 :].cast("I")
        self._lock = os.memfd_create("restante-limits", os.MFD_CLOEXEC)
        self._secret = os.urandom(16)
        self.worker = 0  # the column this process writes; set after the fork

    def acquire(self, name: str, limit: int) -> bool:
        """Add one to `name` unless the sum over all workers has reached `limit`."""
        key = self._key(name)
        slot = self._find(key)
        if slot >= 0:
            at = slot * self._workers
            now = self._counts[at : at + self._workers]
            if now[self.worker] and sum(now) + self._workers <= limit:
                self._counts[at + self.worker] += 1
                return True
        with self._locked():
            slot = self._find(key)
            if slot < 0:
                slot = self._claim(key)
                if slot < 0:
                    return False
            at = slot * self._workers
            if sum(self._counts[at : at + self._workers]) >= limit:
                return False
            self._counts[at + self.worker] += 1
            return True

    def release(self, name: str) -> None:
        """Take one back that this worker added."""
        slot = self._find(self._key(name))
        if slot >= 0:
            at = slot * self._workers + self.worker
            if self._counts[at]:
                self._counts[at] -= 1

    def count(self, name: str) -> int:
        """Return the sum over all workers."""
        key = self._key(name)
        with self._locked():
            slot = self._find(key)
            at = slot * self._workers
            return sum(self._counts[at : at + self._workers]) if slot >= 0 else 0

    def clear_worker(self, worker: int) -> None:
        """Forget what a dead worker counted."""
        with self._locked():
            for slot in range(_SLOTS):
                if self._keys[slot]:
                    self._counts[slot * self._workers + worker] = 0

    def close(self) -> None:
        """Free the memory; not used any more in this process."""
        self._keys.release()
        self._counts.release()
        os.close(self._lock)

    def _key(self, name: str) -> int:
        digest = blake2b(
            name.encode("utf-8", "surrogatepass"), digest_size=8, key=self._secret
        ).digest()
        return int.from_bytes(digest, "little") or 1

    def _find(self, key: int) -> int:
        first = key % _BUCKETS * _WAYS
        try:
            return first + self._keys[first : first + _WAYS].tolist().index(key)
        except ValueError:
            return -1

    def _claim(self, key: int) -> int:
        first = key % _BUCKETS * _WAYS
        for slot in range(first, first + _WAYS):
            at = slot * self._workers
            if not self._keys[slot] or not any(self._counts[at : at + self._workers]):
                self._keys[slot] = key
                return slot
        return -1

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


def address_key(address: str) -> str:
    """Return what counts as one peer: an IPv4 address, or the /64 of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


class ConnectionLimits:
    """How many connections a service takes: in all, per address, per user."""

    def __init__(
        self,
        total: int = _MAX_COUNT,
        per_address: int = _MAX_COUNT,
        per_user: int = _MAX_COUNT,
        *,
        counts: SharedCounts | None = None,
    ) -> None:
        self.total = total
        self.per_address = per_address
        self.per_user = per_user
        self._counts = counts or SharedCounts()

    def acquire_total(self) -> bool:
        """Count one connection of the service, or say no."""
        return self._counts.acquire("total", self.total)

    def release_total(self) -> None:
        """Take back one connection of the service."""
        self._counts.release("total")

    def acquire_address(self, address: str) -> bool:
        """Count one connection of a peer, or say no. Peers on a unix socket are not counted."""
        return address == "unix" or self._counts.acquire(
            "address " + address_key(address), self.per_address
        )

    def release_address(self, address: str) -> None:
        """Take back one connection of a peer."""
        if address != "unix":
            self._counts.release("address " + address_key(address))

    def user_acquire(self, address: str) -> bool:
        """Count one session of an account (its mail address), or say no."""
        return self._counts.acquire("user " + address, self.per_user)

    def user_release(self, address: str) -> None:
        """Take back one session of an account."""
        self._counts.release("user " + address)

    @property
    def connections(self) -> int:
        """Connections of the whole service now."""
        return self._counts.count("total")
