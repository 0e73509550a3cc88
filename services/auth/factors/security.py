"""What an account has beside its main password, and what that means for a login.

One question to our database for each login that no verdict cache answers. On SQLite the answers
are kept in memory as long as nothing changed (database/remembered.py).
"""

import hmac
import time
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    literal,
    select,
    union_all,
)

from services.auth.database.engine import Database
from services.auth.database.remembered import Remembered
from services.auth.database.schema import app_passwords, passkeys, totp
from services.auth.factors.app_passwords import AppPassword, digest_of
from services.auth.factors.last_use import LastUse
from services.auth.trace import step


@dataclass(frozen=True, slots=True)
class Security:
    """Second factors and app passwords of an account."""

    totp: bool = False
    passkeys: tuple[str, ...] = ()  # credential ids
    app_passwords: tuple[AppPassword, ...] = ()

    @property
    def second_factor(self) -> bool:
        """True where the main password alone opens nothing."""
        return self.totp or bool(self.passkeys)


_NOTHING: Final = Security()


def _own(kind: str) -> tuple[ColumnElement[Any], ...]:
    return literal(kind).label("kind"), *(
        literal(empty).label(name)
        for name, empty in (
            ("name", ""),
            ("digest", ""),
            ("services", ""),
            ("networks", ""),
            ("read_only", False),
            ("expires", 0),
            ("last_used", 0),
        )
    )


_ADDRESS: Final[BindParameter[str]] = bindparam("address")
_QUERY: Final = union_all(
    select(
        app_passwords.c.id,
        literal("app").label("kind"),
        app_passwords.c.name,
        app_passwords.c.digest,
        app_passwords.c.services,
        app_passwords.c.networks,
        app_passwords.c.read_only,
        app_passwords.c.expires,
        app_passwords.c.last_used,
    ).where(app_passwords.c.address == _ADDRESS),
    select(passkeys.c.id, *_own("passkey")).where(passkeys.c.address == _ADDRESS),
    select(literal("").label("id"), *_own("totp")).where(
        totp.c.address == _ADDRESS, totp.c.confirmed
    ),
)


def read(connection: Connection, address: str) -> Security:
    """Return what an account has."""
    rows = connection.execute(_QUERY, {"address": address}).mappings().all()
    if not rows:
        return _NOTHING
    return Security(
        any(row["kind"] == "totp" for row in rows),
        tuple(row["id"] for row in rows if row["kind"] == "passkey"),
        tuple(
            AppPassword(
                row["id"],
                row["name"],
                row["digest"],
                words(row["services"]),
                words(row["networks"]),
                bool(row["read_only"]),
                row["expires"],
                last_used=row["last_used"],
            )
            for row in rows
            if row["kind"] == "app"
        ),
    )


def words(text: str) -> tuple[str, ...]:
    """Return the pieces of a comma list."""
    return tuple(filter(None, text.split(",")))


class Factors:
    """Answers for logins; used from the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered = Remembered(database, self._read)
        self.last_use = LastUse(database)

    async def of(self, address: str) -> Security:
        """Return what an account has; `address` is canonical. Raises MailError(TEMPORARY)."""
        return await self._remembered.of(address)

    async def main_password_allowed(
        self, address: str, service: str, *, second_factor_follows: bool = False
    ) -> bool:
        """True where the main password, or what is derived from it, may open the account.

        With a second factor it opens none of the services. Only our own login page, which asks
        for that factor next, says `second_factor_follows`. Raises MailError(TEMPORARY).
        """
        with step("second factor") as asked:
            allowed = second_factor_follows or not (await self.of(address)).second_factor
            asked.answer = "none" if allowed else f"set: no main password on {service}"
        return allowed

    def app_password(
        self, security: Security, secret: bytes, service: str, peer: str
    ) -> AppPassword | None:
        """Return the app password that `secret` is, where it is good for this login."""
        digest = digest_of(secret) if security.app_passwords else ""
        if not digest:
            return None
        now = time.time()
        for found in security.app_passwords:
            if hmac.compare_digest(found.digest, digest) and found.opens(service, peer, now):
                self.last_use.note(found.id, service, peer)
                return found
        return None

    async def close(self) -> None:
        """Write what is still to be written."""
        await self.last_use.close()

    async def _read(self, address: str) -> Security:
        return await self._database.run(lambda connection: read(connection, address))
