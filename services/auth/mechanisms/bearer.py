"""OAUTHBEARER and XOAUTH2: whoever an issuer's token names logs in (RFC 7628).

The token is the whole secret: the name that the client sends beside it is only compared, or names
an account that the token's owner enters as its master.
"""

from typing import Protocol

from restante.model import MailError
from services.auth.backends.chain import Chain
from services.auth.mechanisms.base import Attempt, Match
from services.auth.names import Login, NameRules
from services.auth.trace import step

MAX_TOKEN = 8192  # octets


class Tokens(Protocol):
    """Judges tokens."""

    async def user_of(self, token: bytes) -> str | None:
        """Return the name of a good token's owner, None for a bad one.

        Raises MailError(TEMPORARY) for any doubt.
        """


class BearerMechanism:
    """Tokens of one issuer."""

    def __init__(self, chain: Chain, rules: NameRules, tokens: Tokens) -> None:
        self._chain, self._rules, self._tokens = chain, rules, tokens

    async def match(self, attempt: Attempt, login: Login | None) -> Match | None:
        """Return the record of the token's owner, whoever `login` is."""
        if not 0 < len(attempt.secret) <= MAX_TOKEN:
            return None
        with step("oauth token") as asked:
            user = await self._tokens.user_of(attempt.secret)
            asked.answer = "good" if user else "bad"
        if not user:
            return None
        try:
            owner = self._rules.parse(user)
        except MailError:  # the issuer knows users who have no mail here
            return None
        found = await self._chain.find(owner)
        if found is None:
            return None
        return Match(owner, *found, credential="oauth token", reusable=False)
