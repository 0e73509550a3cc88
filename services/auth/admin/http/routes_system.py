"""Routes of sessions, tokens, masters, the audit log, and of trying a login."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.admin.http import models
from services.auth.admin.http.models import ROLES, shown, stamp
from services.auth.admin.http.problems import documented
from services.auth.admin.http.requests import Ask, Size, Token

# Making JSON holds up the event loop on which logins are judged: 20 us for each session.
_MAX_SESSIONS: Final = 5000

_Address = Annotated[str, Query(description="Only of this account.")]
_Domain = Annotated[str, Query(description="Only of this domain.")]


def add_tokens(router: APIRouter, ask: Ask) -> None:
    """Add /v1/tokens."""

    @router.get("/tokens", summary="List tokens", responses=documented())
    async def list_tokens(request: Request) -> models.Tokens:
        return shown(models.Tokens, await ask(request, "ListTokens", pb.ListTokensRequest()))

    @router.post("/tokens", status_code=201, summary="Make a token", responses=documented())
    async def create_token(request: Request, given: models.NewToken) -> models.MadeToken:
        """The secret is shown once. `Authorization: Bearer SECRET` is how it is used."""
        token = pb.Token(
            name=given.name,
            role=ROLES[given.role],
            domains=given.domains,
            expires=stamp(given.expires),
        )
        asked = pb.CreateTokenRequest(token=token)
        return shown(models.MadeToken, await ask(request, "CreateToken", asked))

    @router.delete(
        "/tokens/{id}",
        status_code=204,
        response_class=Response,
        summary="End a token",
        responses=documented(404),
    )
    async def delete_token(request: Request, id: str) -> None:
        await ask(request, "DeleteToken", pb.DeleteTokenRequest(id=id))


def add_masters(router: APIRouter, ask: Ask) -> None:
    """Add /v1/masters."""

    @router.get("/masters", summary="List master users", responses=documented())
    async def list_masters(request: Request) -> models.Masters:
        return shown(models.Masters, await ask(request, "ListMasters", pb.ListMastersRequest()))

    @router.post(
        "/masters",
        status_code=201,
        summary="Let an account log in as others",
        responses=documented(404, 409),
    )
    async def create_master(request: Request, given: models.NewMaster) -> models.Master:
        asked = pb.CreateMasterRequest(master=pb.Master(**given.model_dump()))
        return shown(models.Master, await ask(request, "CreateMaster", asked))

    @router.delete(
        "/masters/{address}",
        status_code=204,
        response_class=Response,
        summary="Make a master an account like any other",
        responses=documented(404),
    )
    async def delete_master(request: Request, address: str) -> None:
        """What it holds open as others ends."""
        await ask(request, "DeleteMaster", pb.DeleteMasterRequest(address=address))


def add_reports(router: APIRouter, ask: Ask) -> None:
    """Add /v1/sessions, /v1/audit and /v1/test-login."""

    @router.get("/sessions", summary="Who is logged in", responses=documented())
    async def list_sessions(
        request: Request,
        address: _Address = "",
        domain: _Domain = "",
        limit: Annotated[int, Query(ge=1, le=_MAX_SESSIONS)] = 1000,
    ) -> models.Sessions:
        """Asked of every worker of every replica."""
        asked = pb.ListSessionsRequest(address=address, domain=domain)
        found = await ask(request, "ListSessions", asked)
        return models.Sessions(
            sessions=[shown(models.Session, session) for session in found.sessions[:limit]],
            workers=found.workers,
            silent=found.silent,
            more=max(0, len(found.sessions) - limit),
        )

    @router.get("/audit", summary="Read the audit log", responses=documented())
    async def list_audit(  # noqa: PLR0917 - FastAPI reads the request's parts off the signature
        request: Request,
        address: _Address = "",
        domain: _Domain = "",
        action: Annotated[str, Query(description="Only this action.", examples=["login"])] = "",
        page_size: Size = 0,
        page_token: Token = "",
    ) -> models.AuditEntries:
        asked = pb.ListAuditRequest(
            address=address,
            domain=domain,
            action=action,
            page_size=page_size,
            page_token=page_token,
        )
        return shown(models.AuditEntries, await ask(request, "ListAudit", asked))

    @router.post("/test-login", summary="Try a login", responses=documented())
    async def test_login(request: Request, given: models.TestLogin) -> models.TestedLogin:
        """Step by step, as `restante auth test` shows it. A refusal is an answer, not an error."""
        texts = given.model_dump()
        secrets = {name: texts[name].encode() for name in ("password", "new_password")}
        answer = await ask(request, "TestLogin", pb.TestLoginRequest(**{**texts, **secrets}))
        found = {
            field: getattr(answer, field)
            for field in models.TestedLogin.model_fields
            if field != "account"
        }
        account = answer.account if answer.HasField("account") else None
        return models.TestedLogin.model_validate(
            {**found, "account": account}, from_attributes=True
        )
