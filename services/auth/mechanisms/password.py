"""PLAIN and LOGIN (RFC 4616), USER/PASS: the password itself.

Invariant: an attempt that fails costs one hash of the default scheme, whoever was meant.
"""

from services.auth.backends.base import Backend, Check, Record
from services.auth.backends.chain import Chain
from services.auth.mechanisms.base import Attempt, Match
from services.auth.names import Login
from services.auth.passwords import schemes
from services.auth.passwords.verifier import Verifier
from services.auth.trace import step


class PasswordMechanism:
    """Compares with the stored hash, or lets the module check."""

    def __init__(self, chain: Chain, verifier: Verifier) -> None:
        self._chain, self._verifier = chain, verifier

    async def match(self, attempt: Attempt, login: Login | None) -> Match | None:
        """Return the first record whose password fits."""
        tried: set[str] = set()
        if login is not None and _usable(attempt.secret):
            async for module, record in self._chain.candidates(login):
                if await self._fits(attempt, login, module, record, tried):
                    return Match(login, module, record)
        await self._verifier.spend(tried)
        return None

    async def _fits(
        self, attempt: Attempt, login: Login, module: Backend, record: Record, tried: set[str]
    ) -> bool:
        if record.checks:
            with step(f"password by {module.name}") as asked:
                check = Check(attempt.secret, attempt.service, attempt.peer)
                fits = await module.check(login, record, check)
                asked.answer = "fits" if fits else "does not fit"
            return fits
        stored = record.password_for(attempt.service)
        scheme = schemes.scheme_of(stored)
        with step(f"password {scheme or 'of no known scheme'}") as asked:
            fits = bool(stored) and await self._verifier.verify(stored, attempt.secret)
            asked.answer = "fits" if fits else "does not fit"
        tried.add(scheme)
        return fits


def _usable(password: bytes) -> bool:
    return 0 < len(password) <= schemes.MAX_PASSWORD and b"\0" not in password
