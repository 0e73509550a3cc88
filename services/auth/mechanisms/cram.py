"""CRAM-MD5 (RFC 2195), CRAM-SHA1, CRAM-SHA256: a keyed digest of a challenge.

Answered from what cram.contexts_of finds in the module's record, else from the verifier that
stands beside the hash of the module sql. An account with a second factor refuses it, since only
the main password is behind it. What a failure costs hardly depends on who was meant; the
authenticator's time floor covers the rest.
"""

from typing import Final

from services.auth import credentials
from services.auth.backends.base import Record
from services.auth.backends.chain import Chain
from services.auth.database.engine import Database
from services.auth.factors.security import Factors
from services.auth.mechanisms.base import Attempt, Match
from services.auth.names import Login
from services.auth.passwords import cram
from services.auth.trace import step

MAX_CHALLENGE: Final = 1024  # octets; it is hashed on the event loop


class CramMechanism:
    """CRAM with one hash."""

    def __init__(self, chain: Chain, factors: Factors, database: Database, hash_name: str) -> None:
        """`hash_name` is one of cram.HASHES."""
        self._chain, self._factors, self._database = chain, factors, database
        self._hash = hash_name

    async def match(self, attempt: Attempt, login: Login | None) -> Match | None:
        """Return the first record whose password made the digest."""
        if login is None or not 0 < len(attempt.challenge) <= MAX_CHALLENGE:
            return None
        async for module, record in self._chain.candidates(login):
            address = record.account.address
            if not await self._factors.main_password_allowed(address, attempt.service):
                continue
            with step(f"cram-{self._hash} {module.name}") as asked:
                contexts = await self._contexts(module.name, record, attempt.service)
                fits = cram.fits(self._hash, contexts, attempt.challenge, attempt.secret)
                asked.answer = "fits" if fits else "does not fit" if contexts else "no contexts"
            if fits:
                return Match(login, module, record, credential="password digest", reusable=False)
        return None

    async def _contexts(self, module: str, record: Record, service: str) -> str:
        found = cram.contexts_of(record, self._hash, service)
        if found or self._hash != "md5" or module != credentials.MODULE or not record.password:
            return found
        address, stored = record.account.address, record.password
        kept = await self._database.run(lambda c: credentials.read(c, address, stored))
        return kept.get(credentials.CRAM, "")
