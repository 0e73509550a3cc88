"""Reading the audit log."""

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.admin.roles import Caller
from services.auth.admin.tools import Operation, Tools, check_text, page
from services.auth.audit_message import entry_to_message
from services.auth.audit_table import Query
from services.auth.names import domain_name


class AuditLog:
    """The operation."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def list(self, caller: Caller, request: pb.ListAuditRequest) -> pb.ListAuditResponse:
        """List entries, the newest first: all, or those of the domains that bind the caller."""
        limit, before = page(request.page_size, request.page_token)
        if before is not None and not (before.isascii() and before.isdigit() and len(before) < 19):
            raise MailError(ErrorKind.BAD_REQUEST, "page_token is not one of ours")
        check_text(request.action, "action")
        check_text(request.address, "address")
        query = Query(
            self._address(request.address),
            [domain_name(request.domain)] if request.domain else caller.domains,
            request.action,
        )
        await self._tools.audit.flush()
        entries = await self._tools.audit.entries(query, before=int(before or 0), limit=limit + 1)
        return pb.ListAuditResponse(
            entries=map(entry_to_message, entries[:limit]),
            next_page_token=str(entries[limit - 1].id) if len(entries) > limit else "",
        )

    def _address(self, text: str) -> str:
        """Return what is asked for in its canonical form; what is no address stays as it is."""
        try:
            return self._tools.rules.parse(text).address if text else ""
        except MailError:
            return text


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    return {"ListAudit": AuditLog(tools).list}
