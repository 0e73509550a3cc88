"""restante.rpc.admin.v1.Admin: domains and accounts of the SQL module.

Invariants: every method passes `_guarded`, which asks for the token or a named client
certificate before it looks at the request (a test holds the list of methods against the proto),
and writes one audit record for every change, made or refused. A change is told to all who watch
before it is answered. Passwords and hashes never reach
an audit record or an answer.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, Final, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from sqlalchemy import Connection, RowMapping

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.admin.v1 import admin_pb2_grpc
from restante.rpc.errors import abort
from restante.runtime.log import get_logger
from services.auth import directory, purge
from services.auth.backends.sql import SqlBackend
from services.auth.names import Login, NameRules, domain_name
from services.auth.passwords import schemes
from services.auth.passwords.verifier import Verifier

log = get_logger(__name__)

Context = aio.ServicerContext[Any, Any]
_Q = TypeVar("_Q")
_R = TypeVar("_R")
_Method = Callable[["AdminServicer", _Q, Context], Awaitable[_R]]

_PAGE: Final = 100
_MAX_PAGE: Final = 1000
_DOMAIN_FIELDS: Final = ("default_quota", "default_options")
_ACCOUNT_FIELDS: Final = ("uid", "gid", "name", "quota", "options", "disabled")


class Gate:
    """Who may administrate: holders of the token, and client certificates by name."""

    def __init__(self, token: str, certificates: tuple[str, ...] = ()) -> None:
        """`certificates` are common or alternative names of verified client certificates."""
        if not token:
            raise ValueError("an empty admin token")
        self._token = token.encode()
        self._names = frozenset(name.encode() for name in certificates)

    def actor(self, context: Context) -> str | None:
        """Return who calls, for the audit record; None where they may not."""
        if self._names:
            auth = context.auth_context()
            peers = [
                *auth.get("x509_common_name", ()),
                *auth.get("x509_subject_alternative_name", ()),
            ]
            for peer in peers:
                if peer in self._names:
                    return f"certificate {peer.decode('utf-8', 'replace')}"
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                given = value.encode() if isinstance(value, str) else value
                scheme, _, token = given.partition(b" ")
                if scheme.lower() == b"bearer" and hmac.compare_digest(token, self._token):
                    return "token"
        return None

    def check(self, actor: str | None) -> None:
        """Raise MailError(PERMISSION) where `actor` found nobody."""
        if actor is None:
            raise MailError(ErrorKind.PERMISSION, "the admin token is missing or wrong")


def _guarded(action: str, *, change: bool) -> Callable[[_Method[_Q, _R]], _Method[_Q, _R]]:
    """Let only administrators in, map errors to statuses, and audit changes."""

    def decorate(method: _Method[_Q, _R]) -> _Method[_Q, _R]:
        @wraps(method)
        async def call(self: "AdminServicer", request: _Q, context: Context) -> _R:
            actor = self.gate.actor(context)
            peer = context.peer()
            try:
                self.gate.check(actor)
                answer = await method(self, request, context)
                if change:
                    await self.changed()
            except MailError as error:
                if change or actor is None:
                    _audit(action, actor, peer, request, error.kind.value)
                await abort(context, error)
            except Exception:
                log.exception("admin call failed", action=action)
                _audit(action, actor, peer, request, "internal")
                await abort(context, MailError(ErrorKind.INTERNAL, "internal fault"))
            if change:
                _audit(action, actor, peer, request, "ok")
            return answer

        call.guarded = True  # type: ignore[attr-defined]  # seen by the test of this module
        return call

    return decorate


def _audit(action: str, actor: str | None, peer: str, request: object, result: str) -> None:
    inner = getattr(request, "account", None) or getattr(request, "domain", None)
    target = getattr(request, "address", "") or getattr(request, "name", "")
    if inner is not None and not isinstance(inner, str):
        target = getattr(inner, "address", "") or getattr(inner, "name", "")
    mask = getattr(request, "update_mask", None)
    log.info(
        "audit",
        action=action,
        actor=actor or "nobody",
        peer=peer,
        target=target,
        fields=",".join(mask.paths) if mask is not None else None,
        dry_run=getattr(request, "dry_run", None) or None,
        purge_mail=getattr(request, "purge_mail", None) or None,
        result=result,
    )


class AdminServicer(admin_pb2_grpc.AdminServicer):
    """The gRPC face of account administration."""

    def __init__(
        self,
        backend: SqlBackend,
        rules: NameRules,
        verifier: Verifier,
        gate: Gate,
        *,
        default_uid: int,
        default_gid: int,
        lookup: Callable[[str], Awaitable[object]],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """The defaults own the files of accounts that name no uid or gid of their own.

        `lookup` finds an account of any module; `changed` is awaited after every change.
        """
        self.gate = gate
        self.changed = changed
        self._lookup = lookup
        self._backend, self._rules, self._verifier = backend, rules, verifier
        self._database = backend.database
        self._default_uid, self._default_gid = default_uid, default_gid

    @_guarded("domain.create", change=True)
    async def CreateDomain(self, request: pb.CreateDomainRequest, context: Context) -> pb.Domain:
        """Add a domain."""
        given = request.domain
        name = domain_name(given.name)
        row = await self._database.run(
            lambda c: directory.create_domain(c, name, given.default_quota, given.default_options),
            write=True,
        )
        return _domain(row)

    @_guarded("domain.get", change=False)
    async def GetDomain(self, request: pb.GetDomainRequest, context: Context) -> pb.Domain:
        """Describe a domain."""
        name = domain_name(request.name)
        return _domain(await self._database.run(lambda c: directory.get_domain(c, name)))

    @_guarded("domain.list", change=False)
    async def ListDomains(
        self, request: pb.ListDomainsRequest, context: Context
    ) -> pb.ListDomainsResponse:
        """List domains by name."""
        limit, after = _page(request.page_size, request.page_token)
        rows = await self._database.run(
            lambda c: directory.list_domains(c, after=after, limit=limit + 1)
        )
        return pb.ListDomainsResponse(
            domains=map(_domain, rows[:limit]),
            next_page_token=rows[limit - 1]["name"] if len(rows) > limit else "",
        )

    @_guarded("domain.update", change=True)
    async def UpdateDomain(self, request: pb.UpdateDomainRequest, context: Context) -> pb.Domain:
        """Change a domain's defaults."""
        name = domain_name(request.domain.name)
        values = _masked(request.domain, request.update_mask, _DOMAIN_FIELDS)
        row = await self._database.run(
            lambda c: directory.update_domain(c, name, values), write=True
        )
        return _domain(row)

    @_guarded("domain.delete", change=True)
    async def DeleteDomain(
        self, request: pb.DeleteDomainRequest, context: Context
    ) -> pb.DeleteDomainResponse:
        """Remove an empty domain."""
        name = domain_name(request.name)
        await self._database.run(
            lambda c: directory.delete_domain(c, name, dry_run=request.dry_run), write=True
        )
        return pb.DeleteDomainResponse()

    @_guarded("account.create", change=True)
    async def CreateAccount(self, request: pb.CreateAccountRequest, context: Context) -> pb.Account:
        """Add an account."""
        given = request.account
        new = directory.NewAccount(
            self._login(given.address),
            given.uid or self._default_uid,
            given.gid or self._default_gid,
            name=given.name,
            quota=given.quota,
            options=given.options,
            password=await self._stored(request.password, request.password_hash),
            disabled=given.disabled,
        )
        root = self._backend.mail_root
        row = await self._database.run(lambda c: directory.create_account(c, new, root), write=True)
        return self._account(row)

    @_guarded("account.get", change=False)
    async def GetAccount(self, request: pb.GetAccountRequest, context: Context) -> pb.Account:
        """Describe an account."""
        address = self._login(request.address).address
        row = await self._database.run(lambda c: directory.get_account(c, address))
        return self._account(row)

    @_guarded("account.list", change=False)
    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        """List accounts by address."""
        limit, after = _page(request.page_size, request.page_token)
        domain = domain_name(request.domain) if request.domain else ""

        def work(connection: Connection) -> Sequence[RowMapping]:
            if domain:
                directory.get_domain(connection, domain)
            return directory.list_accounts(connection, after=after, limit=limit + 1, domain=domain)

        rows = await self._database.run(work)
        return pb.ListAccountsResponse(
            accounts=map(self._account, rows[:limit]),
            next_page_token=rows[limit - 1]["address"] if len(rows) > limit else "",
        )

    @_guarded("account.update", change=True)
    async def UpdateAccount(self, request: pb.UpdateAccountRequest, context: Context) -> pb.Account:
        """Change fields of an account."""
        address = self._login(request.account.address).address
        values = _masked(request.account, request.update_mask, _ACCOUNT_FIELDS)
        row = await self._database.run(
            lambda c: directory.update_account(c, address, values), write=True
        )
        return self._account(row)

    @_guarded("account.delete", change=True)
    async def DeleteAccount(
        self, request: pb.DeleteAccountRequest, context: Context
    ) -> pb.DeleteAccountResponse:
        """Remove an account and, only where asked, its mail."""
        address = self._login(request.address).address
        root = self._backend.mail_root
        row = await self._database.run(lambda c: directory.get_account(c, address))
        home = self._backend.record_of(row).account.home
        if request.purge_mail:
            await asyncio.to_thread(purge.check_purgeable, home, root)
        existed = await asyncio.to_thread(home.exists)
        answer = pb.DeleteAccountResponse(home=str(home), home_exists=existed)
        if request.dry_run:
            return answer
        await self._database.run(
            lambda c: directory.delete_account(c, address, dry_run=False), write=True
        )
        # The account goes first: nothing can be delivered into, or read from, what is removed.
        if request.purge_mail:
            answer.purged = await asyncio.to_thread(purge.purge, home, root)
        return answer

    @_guarded("account.password", change=True)
    async def SetPassword(
        self, request: pb.SetPasswordRequest, context: Context
    ) -> pb.SetPasswordResponse:
        """Set or clear a password."""
        login = self._login(request.address)
        stored = await self._stored(request.password, request.password_hash)
        if bool(stored) == request.clear:
            raise MailError(ErrorKind.BAD_REQUEST, "give a password, a hash, or clear: one of them")
        values = {"password": stored}
        await self._database.run(
            lambda c: directory.update_account(c, login.address, values), write=True
        )
        return pb.SetPasswordResponse()

    @_guarded("account.kick", change=True)
    async def Kick(self, request: pb.KickRequest, context: Context) -> pb.KickResponse:
        """End the sessions of an account of any module."""
        address = self._login(request.address).address
        await self._lookup(address)
        await self._database.run(lambda c: directory.kick(c, address), write=True)
        return pb.KickResponse()

    def _login(self, address: str) -> Login:
        return self._rules.parse(address)

    async def _stored(self, password: bytes, given_hash: str) -> str:
        """Return the hash to store, "" where neither is given."""
        if password and given_hash:
            raise MailError(ErrorKind.BAD_REQUEST, "give a password or a hash, not both")
        if password:
            return await self._verifier.hash(password)
        if given_hash and not schemes.scheme_of(given_hash):
            raise MailError(ErrorKind.BAD_REQUEST, "a hash of an unknown scheme")
        return given_hash

    def _account(self, row: RowMapping) -> pb.Account:
        account = self._backend.record_of(row).account
        return pb.Account(
            address=account.address,
            uid=account.uid,
            gid=account.gid,
            home=str(account.home),
            maildir=str(account.maildir),
            name=account.name,
            quota=row["quota"],
            options=row["options"],
            disabled=account.disabled,
            has_password=bool(row["password"]),
            password_scheme=schemes.scheme_of(row["password"]),
            created=Timestamp(seconds=row["created"]),
            updated=Timestamp(seconds=row["updated"]),
        )


def _domain(row: RowMapping) -> pb.Domain:
    return pb.Domain(
        name=row["name"],
        default_quota=row["default_quota"],
        default_options=row["default_options"],
        accounts=row["accounts"],
        created=Timestamp(seconds=row["created"]),
    )


def _page(size: int, token: str) -> tuple[int, str | None]:
    return min(size or _PAGE, _MAX_PAGE), token or None


def _masked(message: object, mask: FieldMask, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that the mask names. Raises MailError(BAD_REQUEST) for others."""
    wrong = [path for path in mask.paths if path not in allowed]
    if wrong or not mask.paths:
        raise MailError(
            ErrorKind.BAD_REQUEST, f"update_mask names one or more of {', '.join(allowed)}"
        )
    return {path: getattr(message, path) for path in mask.paths}
