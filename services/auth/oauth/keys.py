"""An issuer's public keys (JWKS, RFC 7517), kept in memory.

Invariants
- Keys are read again when they are older than `cache` seconds, and when a token names one that we
  do not have, but then at most once in `refresh` seconds: made-up key ids do not load the issuer.
- While the issuer is away, known keys go on working; a token with an unknown key is a temporary
  failure, neither refused nor let in.
- Only public keys for signatures are taken. A symmetric key ("oct") is never one, so that no
  token can be signed by what everybody knows (RS256 taken for HS256).
- Readers share one request under way.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from restante.model import ErrorKind, MailError
from services.auth.oauth.fetch import ALL_SECONDS, json_of

Key = RSAKey | ECKey | OKPKey

MAX_KEYS: Final = 100
PATIENCE: Final = 1.0  # seconds that a login with a known key waits for newer ones
_DISCOVERY: Final = "/.well-known/openid-configuration"


class IssuerKeys:
    """The keys of one issuer. Used from the event loop."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        issuer: str,
        url: str = "",
        *,
        cache: float = 3600.0,
        refresh: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without `url` the issuer's discovery document says where the keys are."""
        self._client, self._issuer, self._url = client, issuer, url
        self._cache, self._refresh, self._clock = cache, refresh, clock
        self._keys: dict[str, Key] = {}  # by kid, "" where it has none
        self._read_at: float | None = None  # last success
        self._tried_at: float | None = None
        self._failed = False  # the last try
        self._reading: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> Key | None:
        """Return a key, None where the issuer has none of that name.

        "" is the only key of an issuer that has one. Raises MailError(TEMPORARY).
        """
        now = self._clock()
        found = self._known(kid)
        if found is None:
            await self._read_soon(now)
        elif self._read_at is not None and now - self._read_at >= self._cache:
            await self._read_soon(now, PATIENCE)
        found = self._known(kid)
        if found is None and self._failed:
            raise MailError(ErrorKind.TEMPORARY, "the OAuth issuer does not answer")
        return found

    async def close(self) -> None:
        """End a request under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _known(self, kid: str) -> Key | None:
        if kid:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    async def _read_soon(self, now: float, patience: float | None = None) -> None:
        """Read the keys, unless that was tried just now. What fails shows in `_failed`.

        `patience` in seconds: the reading goes on, but is not waited for any longer.
        """
        if self._reading is None:
            if self._tried_at is not None and now - self._tried_at < self._refresh:
                return
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(self._done)
        # A caller that gives up must not end the request of the others who wait for it.
        await asyncio.wait({self._reading}, timeout=patience)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        self._tried_at = self._clock()
        self._failed = task.cancelled() or task.exception() is not None
        if not self._failed:
            self._read_at = self._tried_at

    async def _read(self) -> None:
        async with asyncio.timeout(ALL_SECONDS):
            if not self._url:
                self._url = await self._discover()
            found = await json_of(self._client, self._client.build_request("GET", self._url))
        keys = found.get("keys")
        if not isinstance(keys, list):
            raise MailError(ErrorKind.TEMPORARY, "the OAuth issuer has no keys")
        self._keys = dict(filter(None, map(_key, keys[:MAX_KEYS])))

    async def _discover(self) -> str:
        url = self._issuer.rstrip("/") + _DISCOVERY
        found = await json_of(self._client, self._client.build_request("GET", url))
        keys = found.get("jwks_uri")
        if found.get("issuer") != self._issuer or not isinstance(keys, str):
            raise MailError(ErrorKind.TEMPORARY, "the OAuth issuer describes another")
        secure = keys.startswith("https://") or self._issuer.startswith("http://")
        if not secure:
            raise MailError(ErrorKind.TEMPORARY, "the OAuth issuer has no safe address of its keys")
        return keys


def _key(data: Any) -> tuple[str, Key] | None:
    """Return a key with its id, None for what is no public key for signatures."""
    if not isinstance(data, dict) or data.get("use", "sig") != "sig":
        return None
    if data.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    public = {name: value for name, value in data.items() if name not in ("key_ops", "use")}
    try:
        key = JWKRegistry.import_key(public)
    except (JoseError, ValueError, TypeError, KeyError):  # of a kind that we do not know
        return None
    kid = data.get("kid", "")
    if not isinstance(kid, str) or not isinstance(key, RSAKey | ECKey | OKPKey):
        return None
    return kid, key
