"""Live sessions of accounts of any module, on every replica (services.auth.sessions)."""

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.admin.roles import Caller
from services.auth.admin.tools import Operation, Tools
from services.auth.names import domain_name


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""

    async def list_sessions(
        caller: Caller, request: pb.ListSessionsRequest
    ) -> pb.ListSessionsResponse:
        found = await tools.sessions.find(_only(request, tools))
        sessions = found.sessions
        if caller.domains is not None:
            sessions = [
                session
                for session in sessions
                if session.address.rpartition("@")[2] in caller.domains
            ]
        return pb.ListSessionsResponse(
            sessions=sessions, workers=found.workers, silent=found.silent
        )

    return {"ListSessions": list_sessions}


def _only(request: pb.ListSessionsRequest, tools: Tools) -> str:
    """Return whose sessions are wanted: an address, "@domain" or "" for all."""
    if request.address and request.domain:
        raise MailError(ErrorKind.BAD_REQUEST, "give an address or a domain, not both")
    if request.address:
        return tools.rules.parse(request.address).address
    return f"@{domain_name(request.domain)}" if request.domain else ""
