"""PLAIN and LOGIN (RFC 4616), USER/PASS: the password itself, or an app password.

Invariants
- An attempt that fails costs one hash of the default scheme, whoever was meant.
- An app password is looked for before the main password, so that none reaches a directory that
  checks passwords itself; and only what looks like one is compared.
- With a second factor the main password is not even compared: it is refused as an unknown user
  is, in the same time.
"""

import time
from dataclasses import replace

from services.auth.backends.base import Backend, Check, Record
from services.auth.backends.chain import Chain
from services.auth.factors.security import Factors, Security
from services.auth.mechanisms.base import Attempt, Match
from services.auth.names import Login
from services.auth.passwords import schemes
from services.auth.passwords.verifier import Verifier
from services.auth.trace import step


class PasswordMechanism:
    """Compares with the stored hash, or lets the module check."""

    def __init__(self, chain: Chain, verifier: Verifier, factors: Factors) -> None:
        self._chain, self._verifier, self._factors = chain, verifier, factors

    async def match(self, attempt: Attempt, login: Login | None) -> Match | None:
        """Return the first record whose password fits."""
        tried: set[str] = set()
        if login is not None and _usable(attempt.secret):
            async for module, record in self._chain.candidates(login):
                security = await self._factors.of(record.account.address)
                match = self._app_password(security, attempt, login, module, record)
                if match is not None:
                    return match
                if security.second_factor and not attempt.second_factor_follows:
                    with step("second factor") as asked:
                        asked.answer = "set: only app passwords count here"
                elif await self._fits(attempt, login, module, record, tried):
                    return Match(login, module, record, reusable=record.reusable)
        await self._verifier.spend(tried)
        return None

    def _app_password(
        self, security: Security, attempt: Attempt, login: Login, module: Backend, record: Record
    ) -> Match | None:
        if not security.app_passwords:
            return None
        with step("app passwords") as asked:
            found = self._factors.app_password(
                security, attempt.secret, attempt.service, attempt.peer
            )
            asked.answer = "does not fit" if found is None else f"fits {found.name}"
        if found is None:
            return None
        return Match(
            login,
            module,
            replace(record, account=replace(record.account, read_only=found.read_only)),
            credential=f"app password {found.name}",
            reusable=record.reusable and found.reusable(time.time()),
            read_only=found.read_only,
        )

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
