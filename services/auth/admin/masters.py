"""Master users: accounts of any module that may log in as others, of some domains or of all."""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth import masters
from services.auth.admin.roles import Caller
from services.auth.admin.tools import Operation, Tools
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
        made = await self._database.run(lambda c: masters.create(c, address, domains), write=True)
        return _message(made)

    async def list(self, caller: Caller, request: pb.ListMastersRequest) -> pb.ListMastersResponse:
        """List masters by address."""
        found = await self._database.run(masters.every)
        return pb.ListMastersResponse(masters=map(_message, found))

    async def delete(
        self, caller: Caller, request: pb.DeleteMasterRequest
    ) -> pb.DeleteMasterResponse:
        """Make a master an account like any other; his sessions end, also those as others."""
        address = self._tools.rules.parse(request.address).address
        await self._database.run(lambda c: masters.remove(c, address), write=True)
        return pb.DeleteMasterResponse()


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    found = Masters(tools)
    return {
        "CreateMaster": found.create,
        "ListMasters": found.list,
        "DeleteMaster": found.delete,
    }


def _message(master: masters.Master) -> pb.Master:
    return pb.Master(
        address=master.address,
        domains=master.domains,
        created=Timestamp(seconds=master.created),
    )
