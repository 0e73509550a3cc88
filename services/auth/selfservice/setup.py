"""What an owner sets up: one-time codes, passkeys, recovery codes, app passwords.

Second factors are set and removed, and app passwords made, only within FRESH seconds of a check
of the password (or of a login by passkey): a session that was left open does not give the account
away. A master user who came in as somebody else sets nothing up (guard.py).
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from restante.model import ErrorKind, MailError
from services.auth.factors import app_passwords, codes, store, totp
from services.auth.factors.app_passwords import AppPassword
from services.auth.factors.challenges import Challenge
from services.auth.factors.passkeys import TIMEOUT, Passkey
from services.auth.selfservice.parts import Parts
from services.auth.selfservice.sessions import Session

FRESH: Final = 600  # seconds
MAX_NAME: Final = 100  # characters
_REGISTER: Final = "register"


class Setup:
    """Changes of an account's factors; used from the event loop. Each raises MailError."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def begin_totp(self, session: Session, password: bytes) -> tuple[str, str]:
        """Return a new secret (base32) and its otpauth:// URI; it counts once a code fitted."""
        await self._fresh(session, password)
        secret = totp.new_secret()
        sealed = self._parts.totp_seal.seal(secret, session.address)
        await self._parts.database.run(
            lambda c: store.begin_totp(c, session.address, sealed), write=True
        )
        return secret, totp.uri(secret, session.address, self._parts.factor_name)

    async def confirm_totp(self, session: Session, code: str) -> Sequence[str]:
        """Let the secret count; return new recovery codes, none where there are some."""
        parts, address = self._parts, session.address
        await self._fresh(session, b"")
        row = await parts.database.run(lambda c: store.get_totp(c, address))
        if row is None or row["confirmed"]:
            raise MailError(ErrorKind.NOT_FOUND, "begin with the one-time codes again")
        sealed = row["secret"]
        secret = parts.totp_seal.open(sealed, address)
        step = totp.fitting_step(secret, code, time.time(), 0)
        if step is None:
            raise MailError(ErrorKind.BAD_REQUEST, "the code does not fit: is the clock right?")
        made = _new_codes()
        taken = await parts.database.run(
            lambda c: store.confirm_totp(
                c, address, sealed, step, recovery=_digests(made), keep_session=session.id
            ),
            write=True,
        )
        await parts.changed()
        return made if taken else ()

    async def remove_totp(self, session: Session, password: bytes) -> None:
        """Remove one-time codes."""
        await self._fresh(session, password)
        await self._parts.database.run(
            lambda c: store.remove_totp(c, session.address, session.id), write=True
        )
        await self._parts.changed()

    async def begin_passkey(self, session: Session, password: bytes) -> tuple[str, str]:
        """Return options for the browser, and a state to be given back."""
        parts, address = self._parts, session.address
        await self._fresh(session, password)
        account = await parts.account(address)
        known = await parts.database.run(lambda c: store.list_passkeys(c, address))
        ceremony = (await parts.party.get()).registration(address, account.name, known)
        state = secrets.token_urlsafe(24)
        until = int(time.time()) + TIMEOUT
        data = json.dumps({"challenge": ceremony.challenge})
        await parts.database.run(
            lambda c: Challenge(state, _REGISTER, address).keep(c, data, until), write=True
        )
        return ceremony.options, state

    async def confirm_passkey(
        self, session: Session, state: str, answer: str, name: str
    ) -> Passkey:
        """Add the passkey of a browser's answer."""
        parts, address = self._parts, session.address
        name = _checked(name or "passkey")
        now = time.time()
        data = await parts.database.run(
            lambda c: Challenge(state, _REGISTER, address).take(c, now), write=True
        )
        if data is None:
            raise MailError(ErrorKind.NOT_FOUND, "begin with the passkey again")
        party = await parts.party.get()
        passkey = party.register(answer, str(json.loads(data)["challenge"]))
        passkey = replace(passkey, name=name, created=int(now))
        await parts.database.run(
            lambda c: store.add_passkey(c, address, passkey, session.id), write=True
        )
        await parts.changed()
        return passkey

    async def remove_passkey(self, session: Session, password: bytes, passkey: str) -> None:
        """Remove a passkey."""
        await self._fresh(session, password)
        await self._parts.database.run(
            lambda c: store.remove_passkey(c, session.address, passkey, session.id), write=True
        )
        await self._parts.changed()

    async def new_recovery(self, session: Session, password: bytes) -> Sequence[str]:
        """Return new recovery codes; those of before are void."""
        await self._fresh(session, password)
        security = await self._parts.authenticator.factors.of(session.address)
        if not security.second_factor:
            raise MailError(ErrorKind.CANNOT, "recovery codes need a second factor first")
        made = _new_codes()
        await self._parts.database.run(
            lambda c: store.new_recovery(c, session.address, _digests(made)), write=True
        )
        return made

    async def create_app_password(
        self, session: Session, password: bytes, wanted: AppPassword
    ) -> tuple[AppPassword, str]:
        """Return a new app password, and the secret itself, which is shown once."""
        await self._fresh(session, password)
        wanted = app_passwords.checked(wanted)
        now = int(time.time())
        if wanted.expires and wanted.expires <= now:
            raise MailError(ErrorKind.BAD_REQUEST, "the end lies in the past")
        secret = codes.generate(codes.APP_PASSWORD)
        made = replace(
            wanted,
            id=secrets.token_hex(12),
            digest=codes.digest(secret, codes.APP_PASSWORD),
            created=now,
        )
        await self._parts.database.run(
            lambda c: store.add_app_password(c, session.address, made), write=True
        )
        await self._parts.changed()
        return made, secret

    async def delete_app_password(self, session: Session, app_password: str) -> None:
        """Withdraw an app password: it ends every session of the account but this one."""
        await self._parts.database.run(
            lambda c: store.remove_app_password(c, session.address, app_password, session.id),
            write=True,
        )
        await self._parts.changed()

    async def _fresh(self, session: Session, password: bytes) -> None:
        """Check the password, or that this was done lately. Raises AUTH_FAILED, PERMISSION."""
        if password:
            await self._parts.check_password(session, password)
        elif time.time() - session.confirmed_at > FRESH:
            raise MailError(ErrorKind.PERMISSION, "give the password again")


def _new_codes() -> list[str]:
    return [codes.generate(codes.RECOVERY_CODE) for _ in range(codes.RECOVERY_CODES)]


def _digests(made: Sequence[str]) -> list[str]:
    return [codes.digest(code, codes.RECOVERY_CODE) for code in made]


def _checked(name: str) -> str:
    if len(name) > MAX_NAME or any(c < " " or c == "\x7f" for c in name):
        raise MailError(ErrorKind.BAD_REQUEST, f"a name has 1 to {MAX_NAME} characters")
    return name
