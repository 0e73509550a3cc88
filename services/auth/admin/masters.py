"""Master users: accounts of any module that may log in as others, of some domains or of all."""

import time
from collections.abc import Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, RowMapping, delete, insert, select

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.revocation import Reason
from services.auth.admin.roles import Caller
from services.auth.admin.tools import Operation, Tools
from services.auth.database import journal
from services.auth.database.schema import masters
from services.auth.names import domain_name

MAX_DOMAINS: Final = 1000


class Masters:
    """The operations."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._database = tools, tools.database

    async def create(self, caller: Caller, request: pb.CreateMasterRequest) -> pb.Master:
        """Let an account log in as others."""
        domains = sorted({domain_name(name) for name in request.master.domains})
        if len(domains) > MAX_DOMAINS:
            raise MailError(ErrorKind.BAD_REQUEST, f"at most {MAX_DOMAINS} domains")
        address = await self._tools.existing(request.master.address)
        values = {"address": address, "domains": ",".join(domains), "created": int(time.time())}
        return _master(await self._database.run(lambda c: _insert(c, values), write=True))

    async def list(self, caller: Caller, request: pb.ListMastersRequest) -> pb.ListMastersResponse:
        """List masters by address."""
        return pb.ListMastersResponse(masters=map(_master, await self._database.run(_all)))

    async def delete(
        self, caller: Caller, request: pb.DeleteMasterRequest
    ) -> pb.DeleteMasterResponse:
        """Make a master an account like any other; what it holds open as others ends."""
        address = self._tools.rules.parse(request.address).address
        await self._database.run(lambda c: _delete(c, address), write=True)
        found = await self._tools.sessions.find()
        opened = sorted({session.address for session in found.sessions if session.actor == address})
        await self._database.run(lambda c: _kick(c, opened), write=True)
        return pb.DeleteMasterResponse()


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    found = Masters(tools)
    return {
        "CreateMaster": found.create,
        "ListMasters": found.list,
        "DeleteMaster": found.delete,
    }


def _insert(connection: Connection, values: dict[str, object]) -> RowMapping:
    query = select(masters).where(masters.c.address == values["address"])
    if connection.execute(query).first() is not None:
        raise MailError(ErrorKind.ALREADY_EXISTS, "this account is a master already")
    connection.execute(insert(masters).values(values))
    return connection.execute(query).mappings().one()


def _all(connection: Connection) -> Sequence[RowMapping]:
    return connection.execute(select(masters).order_by(masters.c.address)).mappings().all()


def _delete(connection: Connection, address: str) -> None:
    if not connection.execute(delete(masters).where(masters.c.address == address)).rowcount:
        raise MailError(ErrorKind.NOT_FOUND, "no such master")
    journal.record(connection, address, Reason.CHANGED)


def _kick(connection: Connection, addresses: Sequence[str]) -> None:
    for address in addresses:
        journal.record(connection, address, Reason.KICKED)


def _master(row: RowMapping) -> pb.Master:
    return pb.Master(
        address=row["address"],
        domains=row["domains"].split(",") if row["domains"] else [],
        created=Timestamp(seconds=row["created"]),
    )
