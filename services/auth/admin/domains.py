"""Domains of the SQL module."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, RowMapping

from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth import directory, masters
from services.auth.admin import tokens
from services.auth.admin.roles import Caller
from services.auth.admin.tools import Operation, Tools, masked, page
from services.auth.names import domain_name

_FIELDS = ("default_quota", "default_options")


class Domains:
    """The operations."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._database = tools, tools.database

    async def create(self, caller: Caller, request: pb.CreateDomainRequest) -> pb.Domain:
        """Add a domain."""
        self._tools.need_accounts()
        given = request.domain
        name = domain_name(given.name)
        row = await self._database.run(
            lambda c: directory.create_domain(c, name, given.default_quota, given.default_options),
            write=True,
        )
        return _domain(row)

    async def get(self, caller: Caller, request: pb.GetDomainRequest) -> pb.Domain:
        """Describe a domain."""
        self._tools.need_accounts()
        name = domain_name(request.name)
        return _domain(await self._database.run(lambda c: directory.get_domain(c, name)))

    async def list(self, caller: Caller, request: pb.ListDomainsRequest) -> pb.ListDomainsResponse:
        """List domains by name: all, or those that bind the caller."""
        self._tools.need_accounts()
        limit, after = page(request.page_size, request.page_token)

        def work(connection: Connection) -> Sequence[RowMapping]:
            if caller.domains is None:
                return directory.list_domains(connection, after=after, limit=limit + 1)
            names = sorted(name for name in caller.domains if name > (after or ""))
            found: list[RowMapping] = []
            for name in names:
                found += directory.list_domains(connection, after=None, limit=1, name=name)
                if len(found) > limit:
                    break
            return found

        rows = await self._database.run(work)
        return pb.ListDomainsResponse(
            domains=map(_domain, rows[:limit]),
            next_page_token=rows[limit - 1]["name"] if len(rows) > limit else "",
        )

    async def update(self, caller: Caller, request: pb.UpdateDomainRequest) -> pb.Domain:
        """Change a domain's defaults."""
        self._tools.need_accounts()
        name = domain_name(request.domain.name)
        values = masked(request.domain, request.update_mask, _FIELDS)
        row = await self._database.run(
            lambda c: directory.update_domain(c, name, values), write=True
        )
        return _domain(row)

    async def delete(
        self, caller: Caller, request: pb.DeleteDomainRequest
    ) -> pb.DeleteDomainResponse:
        """Remove an empty domain; no token and no master is bound to it any more."""
        self._tools.need_accounts()
        name = domain_name(request.name)

        def work(connection: Connection) -> None:
            directory.delete_domain(connection, name, dry_run=request.dry_run)
            if not request.dry_run:  # who gets the domain next shall not meet who had it
                tokens.forget_domain(connection, name)
                masters.forget_domain(connection, name)

        await self._database.run(work, write=True)
        return pb.DeleteDomainResponse()


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    domains = Domains(tools)
    return {
        "CreateDomain": domains.create,
        "GetDomain": domains.get,
        "ListDomains": domains.list,
        "UpdateDomain": domains.update,
        "DeleteDomain": domains.delete,
    }


def _domain(row: RowMapping) -> pb.Domain:
    return pb.Domain(
        name=row["name"],
        default_quota=row["default_quota"],
        default_options=row["default_options"],
        accounts=row["accounts"],
        created=Timestamp(seconds=row["created"]),
    )
