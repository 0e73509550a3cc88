"""Routes of domains and accounts."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.admin.http import models
from services.auth.admin.http.models import shown
from services.auth.admin.http.problems import documented
from services.auth.admin.http.requests import Ask, Size, Token

_AddressPath = Annotated[str, Path(examples=["fred@example.org"])]
_DomainPath = Annotated[str, Path(examples=["example.org"])]
_DryRun = Annotated[bool, Query(description="Only tell what would happen.")]

_EXISTS: Final = documented(409)
_MISSING: Final = documented(404)
_BOTH: Final = documented(404, 409)


def add_domains(router: APIRouter, ask: Ask) -> None:
    """Add /v1/domains."""

    @router.get("/domains", summary="List domains", responses=documented(409))
    async def list_domains(
        request: Request, page_size: Size = 0, page_token: Token = ""
    ) -> models.Domains:
        asked = pb.ListDomainsRequest(page_size=page_size, page_token=page_token)
        return shown(models.Domains, await ask(request, "ListDomains", asked))

    @router.post("/domains", status_code=201, summary="Add a domain", responses=_EXISTS)
    async def create_domain(request: Request, given: models.NewDomain) -> models.Domain:
        asked = pb.CreateDomainRequest(domain=pb.Domain(**given.model_dump()))
        return shown(models.Domain, await ask(request, "CreateDomain", asked))

    @router.get("/domains/{name}", summary="Describe a domain", responses=_BOTH)
    async def get_domain(request: Request, name: _DomainPath) -> models.Domain:
        return shown(models.Domain, await ask(request, "GetDomain", pb.GetDomainRequest(name=name)))

    @router.patch("/domains/{name}", summary="Change a domain's defaults", responses=_BOTH)
    async def update_domain(
        request: Request, name: _DomainPath, given: models.DomainChange
    ) -> models.Domain:
        fields = given.model_dump(exclude_none=True)
        asked = pb.UpdateDomainRequest(
            domain=pb.Domain(name=name, **fields), update_mask=FieldMask(paths=list(fields))
        )
        return shown(models.Domain, await ask(request, "UpdateDomain", asked))

    @router.delete(
        "/domains/{name}",
        status_code=204,
        response_class=Response,
        summary="Remove an empty domain",
        responses=_BOTH,
    )
    async def delete_domain(request: Request, name: _DomainPath, dry_run: _DryRun = False) -> None:
        await ask(request, "DeleteDomain", pb.DeleteDomainRequest(name=name, dry_run=dry_run))


def add_accounts(router: APIRouter, ask: Ask) -> None:
    """Add /v1/accounts and what changes or describes one."""

    @router.get("/accounts", summary="List accounts", responses=_BOTH)
    async def list_accounts(
        request: Request,
        domain: Annotated[str, Query(description="Only of this domain.")] = "",
        page_size: Size = 0,
        page_token: Token = "",
    ) -> models.Accounts:
        asked = pb.ListAccountsRequest(domain=domain, page_size=page_size, page_token=page_token)
        return shown(models.Accounts, await ask(request, "ListAccounts", asked))

    @router.post("/accounts", status_code=201, summary="Add an account", responses=_BOTH)
    async def create_account(request: Request, given: models.NewAccount) -> models.Account:
        fields = given.model_dump(exclude={"password", "password_hash"})
        asked = pb.CreateAccountRequest(
            account=pb.Account(**fields),
            password=given.password.encode(),
            password_hash=given.password_hash,
        )
        return shown(models.Account, await ask(request, "CreateAccount", asked))

    @router.post("/accounts/import", summary="Import accounts", responses=_EXISTS)
    async def import_accounts(request: Request, given: models.Import) -> models.ImportResults:
        asked = pb.ImportAccountsRequest(
            accounts=[
                pb.ImportAccount(
                    account=pb.Account(**one.model_dump(exclude={"password_hash"})),
                    password_hash=one.password_hash,
                )
                for one in given.accounts
            ],
            **given.model_dump(exclude={"accounts"}),
        )
        return shown(models.ImportResults, await ask(request, "ImportAccounts", asked))

    @router.get("/accounts/{address}", summary="Describe an account", responses=_BOTH)
    async def get_account(request: Request, address: _AddressPath) -> models.Account:
        asked = pb.GetAccountRequest(address=address)
        return shown(models.Account, await ask(request, "GetAccount", asked))

    @router.patch("/accounts/{address}", summary="Change an account", responses=_BOTH)
    async def update_account(
        request: Request, address: _AddressPath, given: models.AccountChange
    ) -> models.Account:
        fields = given.model_dump(exclude_none=True)
        asked = pb.UpdateAccountRequest(
            account=pb.Account(address=address, **fields),
            update_mask=FieldMask(paths=list(fields)),
        )
        return shown(models.Account, await ask(request, "UpdateAccount", asked))

    @router.delete("/accounts/{address}", summary="Remove an account", responses=_BOTH)
    async def delete_account(
        request: Request,
        address: _AddressPath,
        purge_mail: Annotated[bool, Query(description="Also its mail (superadmins).")] = False,
        dry_run: _DryRun = False,
    ) -> models.Removal:
        """Mail stays on disk unless purge_mail; the home is never given to another account."""
        asked = pb.DeleteAccountRequest(address=address, purge_mail=purge_mail, dry_run=dry_run)
        return shown(models.Removal, await ask(request, "DeleteAccount", asked))

    @router.put("/accounts/{address}/password", summary="Set a password", responses=_BOTH)
    async def set_password(
        request: Request, address: _AddressPath, given: models.NewPassword
    ) -> models.PasswordSet:
        """Ends the account's sessions."""
        fields = {**given.model_dump(), "password": given.password.encode()}
        asked = pb.SetPasswordRequest(address=address, **fields)
        return shown(models.PasswordSet, await ask(request, "SetPassword", asked))

    @router.post(
        "/accounts/{address}/kick",
        status_code=204,
        response_class=Response,
        summary="End sessions",
        responses=_MISSING,
    )
    async def kick(request: Request, address: _AddressPath) -> None:
        """Ends the sessions of an account on every replica. It may log in again at once."""
        await ask(request, "Kick", pb.KickRequest(address=address))


def add_security(router: APIRouter, ask: Ask) -> None:
    """Add /v1/accounts/{address}/security and what stands below."""

    @router.get(
        "/accounts/{address}/security",
        summary="Second factors and app passwords",
        responses=_MISSING,
    )
    async def get_security(request: Request, address: _AddressPath) -> models.Security:
        asked = pb.GetSecurityRequest(address=address)
        return shown(models.Security, await ask(request, "GetSecurity", asked))

    @router.delete(
        "/accounts/{address}/security/second-factor",
        status_code=204,
        response_class=Response,
        summary="Take the second factor away",
        responses=_MISSING,
    )
    async def reset_second_factor(request: Request, address: _AddressPath) -> None:
        """For somebody who lost it: one-time codes, passkeys and recovery codes are gone."""
        asked = pb.ResetSecondFactorRequest(address=address)
        await ask(request, "ResetSecondFactor", asked)

    @router.delete(
        "/accounts/{address}/security/app-passwords/{id}",
        status_code=204,
        response_class=Response,
        summary="Withdraw an app password",
        responses=_MISSING,
    )
    async def delete_app_password(request: Request, address: _AddressPath, id: str) -> None:
        await ask(request, "DeleteAppPassword", pb.DeleteAppPasswordRequest(address=address, id=id))
