"""One login from end to end, for gRPC and for the authdaemon socket alike.

Order: read the name, wait for the throttle, read the account, check the password, judge
`disabled`. Whether a user exists shows in nothing: same error, same text, same hash work, and a
failure is never answered before `failure_floor` seconds, which covers what the check of a
slower stored hash adds.
"""

import asyncio
from collections.abc import Awaitable, Callable

from restante.model import Account, ErrorKind, MailError
from services.auth.backends.base import Backend, Record
from services.auth.backends.chain import Chain
from services.auth.names import Login, NameRules
from services.auth.passwords import schemes
from services.auth.passwords.verifier import Verifier
from services.auth.throttle import Throttle


async def _nothing() -> None:
    """Nobody wants to know."""


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
        changed: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """`failure_floor` in seconds; 0 answers failures as soon as they are known.

        `changed` is awaited after a password was changed, before that is answered.
        """
        self.chain, self.rules, self.verifier, self.throttle = chain, rules, verifier, throttle
        self._floor = failure_floor
        self._changed = changed

    async def authenticate(
        self, user: str, password: bytes, *, service: str, peer: str = ""
    ) -> Account:
        """Check a password. Raises MailError(AUTH_FAILED | DISABLED | TEMPORARY)."""
        return (await self._admit(user, password, service, peer))[2].account

    async def change_password(
        self, user: str, old: bytes, new: bytes, *, service: str, peer: str = ""
    ) -> None:
        """Set the password of whoever knows the old one, in the module where it fitted.

        Raises MailError as `authenticate`, BAD_REQUEST for an impossible password, CANNOT where
        the module cannot change passwords.
        """
        login, module, _ = await self._admit(user, old, service, peer)
        stored = await self.verifier.hash(new)
        if not await module.set_password(login, stored):
            raise MailError(ErrorKind.CANNOT, "this password cannot be changed here")
        await self._changed()

    async def lookup(self, address: str) -> Account:
        """Find an account. Raises MailError(NO_SUCH_USER | TEMPORARY)."""
        login = self.login(address)
        found = await self.chain.find(login) if login else None
        if found is None:
            raise MailError(ErrorKind.NO_SUCH_USER, "no such user")
        return found[1].account

    def login(self, text: str) -> Login | None:
        """Return the login meant by `text`, None where no account can have that name."""
        try:
            return self.rules.parse(text)
        except MailError:
            return None

    async def _admit(
        self, user: str, password: bytes, service: str, peer: str
    ) -> tuple[Login, Backend, Record]:
        """Return who came in, and by which module."""
        started = asyncio.get_running_loop().time()
        login = self.login(user)
        key = login.address if login else user[:320]
        async with self.throttle.attempt(key, peer) as attempt:
            found, tried = await self._match(login, password, service)
            attempt.ok = found is not None
            if found is None:
                await self.verifier.spend(tried)
        if login is None or found is None:
            await self._wait_until(started + self._floor)
            raise MailError(ErrorKind.AUTH_FAILED, "authentication failed")
        if found[1].account.disabled:
            raise MailError(ErrorKind.DISABLED, "account is disabled")
        return login, *found

    async def _match(
        self, login: Login | None, password: bytes, service: str
    ) -> tuple[tuple[Backend, Record] | None, set[str]]:
        """Return the first record whose password fits, and the schemes that were checked."""
        tried: set[str] = set()
        if login is None:
            return None, tried
        usable = 0 < len(password) <= schemes.MAX_PASSWORD and b"\0" not in password
        async for module, record in self.chain.candidates(login):
            stored = record.password_for(service)
            if stored and usable:
                if await self.verifier.verify(stored, password):
                    return (module, record), tried
                tried.add(schemes.scheme_of(stored))
        return None, tried

    async def _wait_until(self, moment: float) -> None:
        left = moment - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)
