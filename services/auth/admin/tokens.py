"""API tokens: "restante.ID.SECRET". The table keeps a SHA-256 of the secret's 256 random bits.

The row is found by the id, which is no secret; the digests are compared in constant time. A
token that was deleted or has expired is no token from the next call on, at every replica.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.admin.roles import Caller, Role
from services.auth.admin.tools import Operation, Tools, check_text, moment
from services.auth.database.schema import api_tokens
from services.auth.names import domain_name

USED_EVERY: Final = 60  # seconds between two notes of when a token was used last
MAX_NAME: Final = 100
MAX_DOMAINS: Final = 1000

_TOKEN: Final = re.compile(r"restante\.([0-9a-f]{16})\.([0-9a-f]{64})")
_ROLES: Final = {
    pb.ROLE_SUPERADMIN: Role.SUPERADMIN,
    pb.ROLE_DOMAIN_ADMIN: Role.DOMAIN_ADMIN,
    pb.ROLE_READ_ONLY: Role.READ_ONLY,
}


@dataclass(frozen=True, slots=True)
class Found:
    """A token that is good now."""

    id: str
    caller: Caller
    note_use: bool  # its last_used is old


def parse(text: str) -> tuple[str, str] | None:
    """Return (id, digest) of a token's text, None where it cannot be one of ours."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        return None
    return match[1], _digest(match[2])


def find(connection: Connection, token: tuple[str, str]) -> Found | None:
    """Return what a parsed token is good for, None where it is good for nothing."""
    wanted, digest = token
    query = select(api_tokens).where(api_tokens.c.id == wanted)
    row = connection.execute(query).mappings().first()
    if row is None or not hmac.compare_digest(row["digest"], digest):
        return None
    now = int(time.time())
    if row["expires"] and row["expires"] <= now:
        return None
    domains = _domains(row)
    caller = Caller(f"token {row['name']}", Role(row["role"]), frozenset(domains) or None)
    return Found(wanted, caller, row["last_used"] <= now - USED_EVERY)


def note_use(connection: Connection, wanted: str) -> None:
    """Write that a token was used just now."""
    now = int(time.time())
    connection.execute(
        update(api_tokens)
        .where(api_tokens.c.id == wanted, api_tokens.c.last_used <= now - USED_EVERY)
        .values(last_used=now)
    )


def forget_domain(connection: Connection, name: str) -> None:
    """Unbind tokens from a domain; one that was bound to no other is gone."""
    for row in _all(connection):
        domains = _domains(row)
        if name not in domains:
            continue
        domains.remove(name)
        if domains:
            change = update(api_tokens).values(domains=",".join(domains))
            connection.execute(change.where(api_tokens.c.id == row["id"]))
        else:  # no domain would mean all of them
            _delete(connection, row["id"])


class Tokens:
    """The operations."""

    def __init__(self, tools: Tools) -> None:
        self._database = tools.database

    async def create(
        self, caller: Caller, request: pb.CreateTokenRequest
    ) -> pb.CreateTokenResponse:
        """Make a token; its secret is told now and never again."""
        given = request.token
        role = _ROLES.get(given.role)
        if role is None:
            raise MailError(ErrorKind.BAD_REQUEST, "a role is needed")
        domains = sorted({domain_name(name) for name in given.domains})
        if role is Role.SUPERADMIN and domains:
            raise MailError(ErrorKind.BAD_REQUEST, "a superadmin is not bound to domains")
        if role is Role.DOMAIN_ADMIN and not domains:
            raise MailError(ErrorKind.BAD_REQUEST, "a domain admin needs domains")
        if len(domains) > MAX_DOMAINS:
            raise MailError(ErrorKind.BAD_REQUEST, f"at most {MAX_DOMAINS} domains")
        if not 0 < len(given.name) <= MAX_NAME or not given.name.isprintable():
            raise MailError(ErrorKind.BAD_REQUEST, f"a name has 1 to {MAX_NAME} characters")
        now = int(time.time())
        if given.HasField("expires") and given.expires.seconds <= now:
            raise MailError(ErrorKind.BAD_REQUEST, "expires lies in the past")
        secret = secrets.token_hex(32)
        values: dict[str, object] = {
            "id": secrets.token_hex(8),
            "name": given.name,
            "digest": _digest(secret),
            "role": role.value,
            "domains": ",".join(domains),
            "expires": given.expires.seconds,
            "created": now,
            "last_used": 0,
        }
        row = await self._database.run(lambda c: _insert(c, values), write=True)
        return pb.CreateTokenResponse(token=_token(row), secret=f"restante.{row['id']}.{secret}")

    async def list(self, caller: Caller, request: pb.ListTokensRequest) -> pb.ListTokensResponse:
        """List tokens, the oldest first."""
        rows = await self._database.run(_all)
        return pb.ListTokensResponse(tokens=map(_token, rows))

    async def delete(
        self, caller: Caller, request: pb.DeleteTokenRequest
    ) -> pb.DeleteTokenResponse:
        """End a token."""
        check_text(request.id, "id")
        await self._database.run(lambda c: _delete(c, request.id), write=True)
        return pb.DeleteTokenResponse()


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    tokens = Tokens(tools)
    return {
        "CreateToken": tokens.create,
        "ListTokens": tokens.list,
        "DeleteToken": tokens.delete,
    }


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _insert(connection: Connection, values: dict[str, object]) -> RowMapping:
    connection.execute(insert(api_tokens).values(values))
    query = select(api_tokens).where(api_tokens.c.id == values["id"])
    return connection.execute(query).mappings().one()


def _all(connection: Connection) -> Sequence[RowMapping]:
    query = select(api_tokens).order_by(api_tokens.c.created, api_tokens.c.id)
    return connection.execute(query).mappings().all()


def _delete(connection: Connection, wanted: str) -> None:
    if not connection.execute(delete(api_tokens).where(api_tokens.c.id == wanted)).rowcount:
        raise MailError(ErrorKind.NOT_FOUND, "no such token")


def _domains(row: RowMapping) -> list[str]:
    return row["domains"].split(",") if row["domains"] else []


def _token(row: RowMapping) -> pb.Token:
    roles = {role.value: number for number, role in _ROLES.items()}
    return pb.Token(
        id=row["id"],
        name=row["name"],
        role=roles[row["role"]],
        domains=_domains(row),
        expires=moment(row["expires"]),
        created=moment(row["created"]),
        last_used=moment(row["last_used"]),
    )
