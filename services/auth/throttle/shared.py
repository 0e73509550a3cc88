"""The counters of all replicas of auth, in Redis.

One script per attempt, so that replicas cannot both take the same slot; the time is Redis's own.
Where Redis does not answer within TIMEOUT, this process counts alone for RETRY seconds, by
counters that saw its own failures all along: guessing is never free, and nobody is locked out by
Redis being away.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis.asyncio
import redis.exceptions

from restante.runtime.log import get_logger
from services.auth.metrics import THROTTLE_REDIS_FAULTS
from services.auth.throttle.counters import LocalCounters, Pace, Scope, Slot

log = get_logger(__name__)

TIMEOUT: Final = 0.25  # seconds
RETRY: Final = 5.0  # seconds

_ERRORS: Final = (redis.exceptions.RedisError, OSError, TimeoutError)
# The braces keep all keys on one node of a cluster: a script may use the keys of one only.
_PREFIX: Final = "{restante:throttle}:"

# Times in milliseconds. ARGV: base, cap, patience, forget, then `free` of each key.
_COMMON: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local base, cap, patience, forget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),
  tonumber(ARGV[4])
local function delay(n, free)
  if n <= free then return 0 end
  return math.min(cap, base * 2 ^ math.min(n - free - 1, 30))
end
"""
_RESERVE: Final = (
    _COMMON
    + """
local start, dirty, count = now, 0, {}
for i, key in ipairs(KEYS) do
  local found = redis.call('HMGET', key, 'n', 'at')
  count[i] = tonumber(found[1]) or 0
  start = math.max(start, tonumber(found[2]) or 0)
end
if count[1] > 0 then dirty = 1 end
if start - now > patience then return {start - now, 1, dirty} end
for i, key in ipairs(KEYS) do
  if count[i] > 0 then
    local d = delay(count[i], tonumber(ARGV[4 + i]))
    if d > 0 then redis.call('HSET', key, 'at', start + d) end
  end
end
return {start - now, 0, dirty}
"""
)
_FAILED: Final = (
    _COMMON
    + """
for i, key in ipairs(KEYS) do
  local n = redis.call('HINCRBY', key, 'n', 1)
  local d = delay(n, tonumber(ARGV[4 + i]))
  if d > 0 then
    local at = tonumber(redis.call('HGET', key, 'at')) or 0
    redis.call('HSET', key, 'at', math.max(at, now + d))
  end
  redis.call('PEXPIRE', key, forget)
end
return 0
"""
)


class SharedCounters:
    """Counters in Redis, backed by local ones."""

    def __init__(
        self,
        url: str,
        pace: Pace,
        local: LocalCounters,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url`: redis://, rediss:// or unix://. Connects when it is first asked."""
        self._pace, self._local, self._clock = pace, local, clock
        self._client = redis.asyncio.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        self._reserve = self._client.register_script(_RESERVE)
        self._failed = self._client.register_script(_FAILED)
        self._away_until = 0.0

    async def reserve(self, scopes: Sequence[Scope]) -> Slot:
        """See Counters."""
        answer = await self._run(self._reserve, scopes)
        if answer is None:
            return await self._local.reserve(scopes)
        wait, late, dirty = (int(number) for number in answer)
        return Slot(wait / 1000, bool(late), bool(dirty))

    async def failed(self, scopes: Sequence[Scope]) -> None:
        """See Counters."""
        await self._local.failed(scopes)
        await self._run(self._failed, scopes)

    async def clear(self, scope: Scope) -> None:
        """See Counters."""
        await self._local.clear(scope)
        await self._ask(lambda: self._client.delete(_PREFIX + scope.key))

    async def failures(self, scope: Scope) -> int:
        """See Counters."""
        answer = await self._ask(lambda: self._client.hget(_PREFIX + scope.key, "n"))
        return await self._local.failures(scope) if answer is None else int(answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _run(self, script: Any, scopes: Sequence[Scope]) -> Any:
        pace = self._pace
        times = (pace.base, pace.cap, pace.patience, pace.forget)
        return await self._ask(
            lambda: script(
                keys=[_PREFIX + scope.key for scope in scopes],
                args=[*(int(t * 1000) for t in times), *(scope.free for scope in scopes)],
            )
        )

    async def _ask(self, call: Callable[[], Any]) -> Any:
        """Return the answer, None where Redis is away."""
        if self._clock() < self._away_until:
            return None
        try:
            return await call()
        except _ERRORS as error:
            self._away_until = self._clock() + RETRY
            THROTTLE_REDIS_FAULTS.inc()
            log.warning("failed logins are counted without Redis", reason=str(error))
            return None
