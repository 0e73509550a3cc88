"""Who calls: the admin token, an API token, or a client certificate by its name."""

import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from restante.model import ErrorKind, MailError
from services.auth.admin import tokens
from services.auth.admin.roles import Caller, Role
from services.auth.database.engine import Database


@dataclass(frozen=True, slots=True)
class Credentials:
    """What came with a request."""

    peer: str  # for the audit log
    bearer: bytes = field(default=b"", repr=False)
    certificates: tuple[bytes, ...] = ()  # names in the client's verified certificate
    known: Caller | None = None  # a door that has asked the gate already says who it is


class UnknownCallerError(MailError):
    """Nobody is known by these credentials."""

    def __init__(self) -> None:
        super().__init__(ErrorKind.PERMISSION, "the admin token is missing or wrong")


class Gate:
    """Tells callers apart."""

    def __init__(
        self, database: Database, admin_token: str, certificates: tuple[str, ...] = ()
    ) -> None:
        """`certificates` are common or alternative names of verified client certificates."""
        if not admin_token:
            raise ValueError("an empty admin token")
        self._database = database
        self._admin_token = admin_token.encode()
        self._names = frozenset(name.encode() for name in certificates)

    async def identify(self, given: Credentials) -> Caller:
        """Return who calls; a token goes before a certificate.

        Raises UnknownCallerError, or MailError(TEMPORARY) where it cannot be told just now.
        """
        if given.known is not None:
            return given.known
        if hmac.compare_digest(given.bearer, self._admin_token):
            return Caller("admin token", Role.SUPERADMIN)
        caller = await self._by_token(given.bearer)
        if caller is not None:
            return caller
        for name in given.certificates:
            if name in self._names:
                return Caller(f"certificate {name.decode('utf-8', 'replace')}", Role.SUPERADMIN)
        raise UnknownCallerError

    async def _by_token(self, bearer: bytes) -> Caller | None:
        token = tokens.parse(bearer.decode("ascii", "replace"))
        if token is None:
            return None
        found = await self._database.run(partial(tokens.find, token=token))
        if found is None:
            return None
        if found.note_use:
            with suppress(MailError):  # why stands in the log; the call itself may only read
                await self._database.run(partial(tokens.note_use, wanted=found.id), write=True)
        return found.caller


def bearer_of(authorization: str | bytes) -> bytes:
    """Return the token of an Authorization header (RFC 6750), b"" where it has none."""
    given = authorization.encode() if isinstance(authorization, str) else authorization
    scheme, _, token = given.partition(b" ")
    return token if scheme.lower() == b"bearer" else b""
