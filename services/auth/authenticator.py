"""One login from end to end, for gRPC and for the authdaemon socket alike.

Order: read the name, wait for the throttle, read the account, check the password, judge
`disabled`. Whether a user exists shows in nothing: same error, same text, same hash work, and a
failure is never answered before `failure_floor` seconds, which covers what the check of a
slower stored hash adds.
"""

import asyncio

from restante.model import Account, ErrorKind, MailError
from services.auth.backends.base import Record
from services.auth.backends.chain import Chain
from services.auth.names import Login, NameRules
from services.auth.passwords import schemes
from services.auth.passwords.verifier import Verifier
from services.auth.throttle import Throttle


class Authenticator:
    """Answers who may come in."""

    def __init__(
        self,
        chain: Chain,
        rules: NameRules,
        verifier: Verifier,
        throttle: Throttle,
        *,
        failure_floor: float = 0.25,
    ) -> None:
        """`failure_floor` in seconds; 0 answers failures as soon as they are known."""
        self.chain, self.rules, self.verifier, self.throttle = chain, rules, verifier, throttle
        self._floor = failure_floor

    async def authenticate(
        self, user: str, password: bytes, *, service: str, peer: str = "", module: str = ""
    ) -> Account:
        """Check a password. Raises MailError(AUTH_FAILED | DISABLED | TEMPORARY)."""
        started = asyncio.get_running_loop().time()
        login = self._login(user)
        async with self.throttle.attempt(login.address if login else user[:320], peer) as attempt:
            record, tried = await self._match(login, password, service, module)
            if record is None:
                await self.verifier.spend(tried)
                attempt.ok = False
            else:
                attempt.ok = True
        if record is None:
            await self._wait_until(started + self._floor)
            raise MailError(ErrorKind.AUTH_FAILED, "authentication failed")
        if record.account.disabled:
            raise MailError(ErrorKind.DISABLED, "account is disabled")
        return record.account

    async def lookup(self, address: str) -> Account:
        """Find an account. Raises MailError(NO_SUCH_USER | TEMPORARY)."""
        login = self._login(address)
        record = await self.chain.find(login) if login else None
        if record is None:
            raise MailError(ErrorKind.NO_SUCH_USER, "no such user")
        return record.account

    async def _match(
        self, login: Login | None, password: bytes, service: str, module: str
    ) -> tuple[Record | None, set[str]]:
        """Return the first record whose password fits, and the schemes that were checked."""
        tried: set[str] = set()
        if login is None:
            return None, tried
        usable = len(password) <= schemes.MAX_PASSWORD and b"\0" not in password
        async for record in self.chain.candidates(login, module):
            stored = record.password_for(service)
            if stored and usable:
                if await self.verifier.verify(stored, password):
                    return record, tried
                tried.add(schemes.scheme_of(stored))
        return None, tried

    def _login(self, text: str) -> Login | None:
        try:
            return self.rules.parse(text)
        except MailError:
            return None

    async def _wait_until(self, moment: float) -> None:
        left = moment - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)
