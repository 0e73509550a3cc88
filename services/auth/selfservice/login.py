"""The steps of a login to webmail: password, second factor; or a passkey alone.

Invariants
- A password alone opens a whole session only where no second factor is set; else the session is
  pending, and only `second_factor` takes its token.
- Every code and every passkey's answer counts once, on whatever replica it arrives.
- Tries of the second factor are slowed like logins, but by themselves: a right password does not
  buy new ones.
- A master user who came in as somebody else is asked for his own second factor.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from restante.model import Account, ErrorKind, MailError
from services.auth.factors import codes, store, totp
from services.auth.factors.challenges import Challenge
from services.auth.factors.passkeys import TIMEOUT, Passkey, credential_id
from services.auth.factors.security import Security
from services.auth.mechanisms.base import Attempt
from services.auth.selfservice.parts import SERVICE, Parts, check_webmail
from services.auth.selfservice.sessions import Opened, Visitor

_FAILED: Final = "authentication failed"
_USED: Final = "passkey-login"  # kind of the challenges that were answered


@dataclass(frozen=True, slots=True)
class Step:
    """How far somebody is: in, or before the second factor."""

    opened: Opened
    account: Account | None = None  # once he is in
    factors: tuple[str, ...] = ()  # of which one is missing: "totp", "passkey", "recovery"
    passkey_options: str = ""  # JSON for the browser


class LoginSteps:
    """Logs people in; used from the event loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def password(
        self, user: str, password: bytes, *, peer: str, tls: bool, client: str
    ) -> Step:
        """Begin with the password. Raises MailError as `Authenticator.authenticate`."""
        parts = self._parts
        since = await parts.sessions.position()
        attempt = Attempt(user, password, SERVICE, peer, tls, second_factor_follows=True)
        admission = await parts.authenticator.authenticate(attempt)
        account = admission.account
        check_webmail(account)
        visitor = Visitor(account.address, peer, client, admission.actor)
        person = admission.actor or account.address
        security = await parts.authenticator.factors.of(person)
        if not security.second_factor:
            opened = await parts.sessions.open(visitor, since=since)
            parts.note("login", opened.session, detail=admission.match.credential)
            return Step(opened, account)
        options = challenge = ""
        if security.passkeys:
            ceremony = (await parts.party.get()).login(security.passkeys)
            options, challenge = ceremony.options, ceremony.challenge
        opened = await parts.sessions.open(visitor, since=since, pending=True, challenge=challenge)
        return Step(opened, None, await self._offered(person, security), options)

    async def second_factor(
        self, token: str, *, code: str, recovery: str, passkey: str, peer: str
    ) -> Step:
        """Go on with exactly one of the three. Raises AUTH_FAILED, BAD_REQUEST, TEMPORARY."""
        parts = self._parts
        session = await parts.sessions.find(token)
        if not session.pending:
            raise MailError(ErrorKind.BAD_REQUEST, "the login is complete")
        if sum(map(bool, (code, recovery, passkey))) != 1:
            raise MailError(ErrorKind.BAD_REQUEST, "give a code, a recovery code or a passkey")
        account = await parts.account(session.address)
        challenge = await parts.sessions.try_factor(session)
        check: Callable[[], Awaitable[bool]]
        if code:
            name, check = "totp", partial(self._totp, session.person, code)
        elif recovery:
            name, check = "recovery code", partial(self._recovery, session.person, recovery)
        else:
            name, check = "passkey", partial(self._passkey, session.person, passkey, challenge)
        try:
            await self._slowed(f"second factor {session.person}", peer, check)
            opened = await parts.sessions.complete(session)
        except MailError as error:
            parts.note("login", session, peer=peer, result=error.kind.value, detail=name)
            raise
        parts.note("login", opened.session, peer=peer, detail=f"password and {name}")
        return Step(opened, account)

    async def begin_passkey(self) -> tuple[str, str]:
        """Return options for the browser, and a state to be given back."""
        ceremony = (await self._parts.party.get()).login(())
        state = {"challenge": ceremony.challenge, "until": int(time.time()) + TIMEOUT}
        return ceremony.options, self._parts.state_seal.seal(json.dumps(state), "")

    async def passkey(self, state: str, answer: str, *, peer: str, client: str) -> Step:
        """Log in by a passkey that verified its user. Raises AUTH_FAILED, DISABLED, TEMPORARY."""
        parts = self._parts
        since = await parts.sessions.position()
        credential = credential_id(answer)
        found = await parts.database.run(lambda c: store.find_passkey(c, credential))
        address, passkey = found or ("", None)

        async def check() -> bool:
            challenge = await self._take_state(state)
            if challenge is None or passkey is None:
                return False
            return await self._answers(address, passkey, answer, challenge, alone=True)

        try:
            await self._slowed(f"passkey {address}", peer, check)
            account = await parts.account(address)
        except MailError as error:
            parts.audit.record(
                action="login",
                actor="owner",
                address=address,
                service=SERVICE,
                peer=peer,
                result=error.kind.value,
                detail="passkey",
            )
            raise
        visitor = Visitor(account.address, peer, client)
        opened = await parts.sessions.open(visitor, since=since)
        parts.note("login", opened.session, detail="passkey")
        return Step(opened, account)

    async def _slowed(self, key: str, peer: str, check: Callable[[], Awaitable[bool]]) -> None:
        """Let a check pass the throttle. Raises MailError(AUTH_FAILED) where it fails."""
        async with self._parts.authenticator.throttle.attempt(key, peer) as turn:
            turn.ok = await check()
        if not turn.ok:
            raise MailError(ErrorKind.AUTH_FAILED, _FAILED)

    async def _offered(self, person: str, security: Security) -> tuple[str, ...]:
        left = await self._parts.database.run(lambda c: store.recovery_left(c, person))
        offers = (("totp", security.totp), ("passkey", security.passkeys), ("recovery", left))
        return tuple(name for name, there in offers if there)

    async def _totp(self, person: str, code: str) -> bool:
        database = self._parts.database
        row = await database.run(lambda c: store.get_totp(c, person))
        if row is None or not row["confirmed"]:
            return False
        sealed = row["secret"]
        secret = self._parts.totp_seal.open(sealed, person)
        step = totp.fitting_step(secret, code, time.time(), row["last_step"])
        if step is None:
            return False
        return await database.run(lambda c: store.advance(c, person, sealed, step), write=True)

    async def _recovery(self, person: str, code: str) -> bool:
        digest = codes.digest(code, codes.RECOVERY_CODE)
        if not digest:
            return False
        return await self._parts.database.run(
            lambda c: store.use_recovery(c, person, digest), write=True
        )

    async def _passkey(self, person: str, answer: str, challenge: str) -> bool:
        credential = credential_id(answer)
        found = await self._parts.database.run(lambda c: store.find_passkey(c, credential))
        if found is None or found[0] != person:
            return False
        return await self._answers(person, found[1], answer, challenge, alone=False)

    async def _answers(
        self, address: str, passkey: Passkey, answer: str, challenge: str, *, alone: bool
    ) -> bool:
        party = await self._parts.party.get()
        count = party.check(answer, challenge, passkey, address, alone=alone)
        if count is None:
            return False
        return await self._parts.database.run(
            lambda c: store.use_passkey(c, passkey, count), write=True
        )

    async def _take_state(self, state: str) -> str | None:
        """Return the challenge in a state; it counts once, and for some minutes."""
        try:
            data = json.loads(self._parts.state_seal.open(state, ""))
        except MailError:
            return None
        challenge, until = str(data["challenge"]), int(data["until"])

        def use(connection: Connection) -> bool:
            return Challenge(challenge[:64], _USED, "").keep(connection, "", until)

        if time.time() >= until or not await self._parts.database.run(use, write=True):
            return None
        return challenge
