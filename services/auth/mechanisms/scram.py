"""SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677): salt and iterations first, then the proof.

Auth keeps nothing between the two calls: salt and iterations of an account are the same as long as
its password is. Keys come from a stored {SCRAM-SHA-256}, from the verifier beside a hash of the
module sql, or from the clear password, where a module keeps that, with a salt that is an HMAC of
the address under the service's secret. Whoever has no keys, or does not exist, gets such a salt,
too: the same at every replica that shares the secret.
"""

import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from services.auth import credentials
from services.auth.backends.base import Backend, Record
from services.auth.backends.chain import Chain
from services.auth.database.engine import Database
from services.auth.factors.security import Factors
from services.auth.mechanisms.base import Attempt, Match
from services.auth.names import Login
from services.auth.passwords.schemes import clear_of
from services.auth.passwords.scram import ScramKeys, make_keys, read_keys
from services.auth.passwords.verifier import Verifier
from services.auth.trace import step

_SALT: Final = 16  # octets


@dataclass(frozen=True, slots=True)
class _Source:
    """Where an account's keys come from: `keys`, or `clear` to make them of."""

    module: Backend
    record: Record
    salt: bytes
    iterations: int
    keys: ScramKeys | None = None
    clear: bytes = field(default=b"", repr=False)


class ScramMechanism:
    """Both names: what channel binding adds, the services check."""

    def __init__(
        self,
        chain: Chain,
        factors: Factors,
        database: Database,
        verifier: Verifier,
        *,
        secret: Callable[[], bytes],
        iterations: int,
    ) -> None:
        """`secret` returns what makes the salts that nobody stored, or raises MailError.

        `iterations` are told beside them.
        """
        self._chain, self._factors = chain, factors
        self._database, self._verifier = database, verifier
        self._secret, self._iterations = secret, iterations

    async def parameters(self, login: Login | None, user: str, service: str) -> tuple[bytes, int]:
        """Return salt and iterations for `user`, who means `login`. Raises MailError(TEMPORARY)."""
        if login is not None:
            async for source in self._sources(login, service):
                return source.salt, source.iterations
        return self._salt(login.address if login else user), self._iterations

    async def match(self, attempt: Attempt, login: Login | None) -> Match | None:
        """Return the first record whose password made the proof, with the ServerSignature."""
        if login is None or not attempt.challenge:
            return None
        async for source in self._sources(login, attempt.service):
            address = source.record.account.address
            if not await self._factors.main_password_allowed(address, attempt.service):
                continue
            with step(f"scram-sha-256 {source.module.name}") as asked:
                keys = source.keys or await self._make(source)
                fits = keys.fits(attempt.secret, attempt.challenge)
                asked.answer = "fits" if fits else "does not fit"
            if fits:
                return Match(
                    login,
                    source.module,
                    source.record,
                    credential="password proof",
                    reusable=False,
                    proof=keys.signature(attempt.challenge),
                )
        return None

    async def _sources(self, login: Login, service: str) -> AsyncIterator[_Source]:
        # One question whoever is meant: what it costs says nothing.
        kept = await self._database.run(lambda c: credentials.every(c, login.address))
        async for module, record in self._chain.candidates(login):
            stored = record.password_for(service)
            keys = read_keys(stored)
            if keys is None and module.name == credentials.MODULE:
                verifiers = credentials.beside(kept, record.password)
                keys = read_keys(verifiers.get(credentials.SCRAM, ""))
            if keys is not None:
                yield _Source(module, record, keys.salt, keys.iterations, keys)
                continue
            clear = record.clear.encode("utf-8", "surrogateescape") or clear_of(stored)
            if clear:
                salt = self._salt(login.address)
                yield _Source(module, record, salt, self._iterations, clear=clear)

    async def _make(self, source: _Source) -> ScramKeys:
        work = partial(make_keys, source.clear, source.salt, source.iterations)
        return await self._verifier.run(work)

    def _salt(self, name: str) -> bytes:
        return hmac.digest(self._secret(), name.encode("utf-8", "replace"), "sha256")[:_SALT]
