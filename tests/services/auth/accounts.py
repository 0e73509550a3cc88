"""Accounts for tests, put straight into the server's database."""

from typing import Any

from restante.model import ErrorKind, MailError
from services.auth import directory
from services.auth.backends.sql import SqlBackend
from services.auth.server import AuthServer


def sql_of(server: AuthServer) -> SqlBackend:
    return next(m for m in server.chain.modules if isinstance(m, SqlBackend))


async def add_account(
    server: AuthServer, address: str, password: str = "secret", *, stored: str = "", **fields: Any
) -> None:
    backend = sql_of(server)
    login = server.rules.parse(address)
    stored = stored or await server.verifier.hash(password.encode())
    await _domain(backend, login.domain)
    new = directory.NewAccount(login, 1000, 1000, password=stored, **fields)
    await backend.database.run(
        lambda c: directory.create_account(c, new, backend.mail_root), write=True
    )


async def _domain(backend: SqlBackend, name: str) -> None:
    try:
        await backend.database.run(lambda c: directory.create_domain(c, name, "", ""), write=True)
    except MailError as error:
        if error.kind is not ErrorKind.ALREADY_EXISTS:
            raise
