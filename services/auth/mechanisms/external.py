"""EXTERNAL (RFC 4422 appendix A): the service has verified a certificate; its name logs in.

A service is trusted in that, as it is with every look-up. There is no secret here to be guessed,
but the name must be an account's. A certificate is more than a password: a second factor does not
stand in its way.
"""

from services.auth.backends.chain import Chain
from services.auth.mechanisms.base import Attempt, Match
from services.auth.names import Login


class ExternalMechanism:
    """Names of certificates."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def match(self, attempt: Attempt, login: Login | None) -> Match | None:
        """Return the first record of that name."""
        if login is None or not attempt.tls:
            return None
        found = await self._chain.find(login)
        if found is None:
            return None
        return Match(login, *found, credential="certificate", reusable=False)
