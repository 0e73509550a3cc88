"""A blocking client of restante.rpc.admin.v1.Admin, for the command line and for scripts.

Errors are MailError as everywhere; an auth service that cannot be reached is TEMPORARY.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from restante.model import Account, ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.admin.v1 import admin_pb2_grpc
from restante.rpc.admin_reports import Imported, LoginTest, SessionInfo, SessionList
from restante.rpc.admin_values import ROLES, AuditInfo, MasterInfo, SecurityInfo, TokenInfo
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.channel import CHANNEL_OPTIONS, ClientTls
from restante.rpc.convert import account_of
from restante.rpc.errors import error_of

TOKEN_FILE: Final = "admin.token"  # noqa: S105 - a file's name

BATCH_SECONDS: Final = 120.0
ENUMERATE_SECONDS: Final = 3600.0

_PAGE: Final = 500
_MAX_ANSWER: Final = 256 * 1024 * 1024  # bytes: everybody's sessions
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class DomainInfo:
    """A domain of the SQL module. Times are unix seconds."""

    name: str
    default_quota: str
    default_options: str
    accounts: int
    created: int


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account of the SQL module as it is stored: without its domain's defaults."""

    address: str
    uid: int
    gid: int
    home: Path
    maildir: Path
    name: str
    quota: str
    options: str
    disabled: bool
    has_password: bool
    password_scheme: str
    created: int
    updated: int


@dataclass(frozen=True, slots=True)
class Removal:
    """What removing an account did, or would do."""

    home: Path
    home_exists: bool  # before
    purged: bool


def read_token(run_dir: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return RESTANTE_ADMIN_TOKEN, the content of RESTANTE_ADMIN_TOKEN_FILE, or the token
    that the auth service keeps in `run_dir`. Raises MailError(PERMISSION | TEMPORARY).
    """
    given = environ.get("RESTANTE_ADMIN_TOKEN", "")
    if given:
        return given
    path = Path(environ.get("RESTANTE_ADMIN_TOKEN_FILE") or run_dir / TOKEN_FILE)
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        text = f"no admin token at {path}: is Restante running, and is RESTANTE_DATA right?"
        raise MailError(ErrorKind.TEMPORARY, text) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a token"
        raise MailError(ErrorKind.PERMISSION, f"admin token {path}: {reason}") from None


class AdminClient:
    """One channel to the auth service; close it, or use it in a with statement."""

    def __init__(
        self, target: str, token: str, *, tls: ClientTls | None = None, deadline: float = 10.0
    ) -> None:
        """`target` is "unix:/path" or "host:port"; `deadline` in seconds bounds each call."""
        self._deadline = deadline
        self._metadata = (("authorization", f"Bearer {token}"),)
        options = (*CHANNEL_OPTIONS, ("grpc.max_receive_message_length", _MAX_ANSWER))
        if tls is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(
                target, tls.credentials(), (*options, *tls.options())
            )
        self._stub = admin_pb2_grpc.AdminStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def create_domain(
        self, name: str, *, default_quota: str = "", default_options: str = ""
    ) -> DomainInfo:
        """Add a domain. Raises MailError(ALREADY_EXISTS | BAD_REQUEST)."""
        domain = pb.Domain(name=name, default_quota=default_quota, default_options=default_options)
        return _domain(self._call(self._stub.CreateDomain, pb.CreateDomainRequest(domain=domain)))

    def get_domain(self, name: str) -> DomainInfo:
        """Describe a domain. Raises MailError(NOT_FOUND)."""
        return _domain(self._call(self._stub.GetDomain, pb.GetDomainRequest(name=name)))

    def domains(self) -> Iterator[DomainInfo]:
        """Yield all domains by name."""
        token = ""
        while True:
            page = self._call(
                self._stub.ListDomains, pb.ListDomainsRequest(page_size=_PAGE, page_token=token)
            )
            yield from map(_domain, page.domains)
            token = page.next_page_token
            if not token:
                return

    def update_domain(self, name: str, **fields: Any) -> DomainInfo:
        """Change default_quota or default_options. Raises MailError(NOT_FOUND | BAD_REQUEST)."""
        request = pb.UpdateDomainRequest(
            domain=pb.Domain(name=name, **fields), update_mask=FieldMask(paths=list(fields))
        )
        return _domain(self._call(self._stub.UpdateDomain, request))

    def delete_domain(self, name: str, *, dry_run: bool = False) -> None:
        """Remove a domain without accounts. Raises MailError(NOT_FOUND | IN_USE)."""
        self._call(self._stub.DeleteDomain, pb.DeleteDomainRequest(name=name, dry_run=dry_run))

    def create_account(
        self,
        address: str,
        password: str | None = None,
        *,
        password_hash: str = "",
        uid: int = 0,
        gid: int = 0,
        name: str = "",
        quota: str = "",
        options: str = "",
        disabled: bool = False,
    ) -> AccountInfo:
        """Add an account; uid and gid 0 take the server's defaults.

        Raises MailError(ALREADY_EXISTS | NOT_FOUND (its domain) | BAD_REQUEST).
        """
        request = pb.CreateAccountRequest(
            account=pb.Account(
                address=address,
                uid=uid,
                gid=gid,
                name=name,
                quota=quota,
                options=options,
                disabled=disabled,
            ),
            password=_bytes(password or ""),
            password_hash=password_hash,
        )
        return _account(self._call(self._stub.CreateAccount, request))

    def get_account(self, address: str) -> AccountInfo:
        """Describe an account. Raises MailError(NO_SUCH_USER)."""
        return _account(self._call(self._stub.GetAccount, pb.GetAccountRequest(address=address)))

    def accounts(self, domain: str = "") -> Iterator[AccountInfo]:
        """Yield the accounts of a domain, or all, by address. Raises MailError(NOT_FOUND)."""
        token = ""
        while True:
            request = pb.ListAccountsRequest(domain=domain, page_size=_PAGE, page_token=token)
            page = self._call(self._stub.ListAccounts, request)
            yield from map(_account, page.accounts)
            token = page.next_page_token
            if not token:
                return

    def update_account(self, address: str, **fields: Any) -> AccountInfo:
        """Change uid, gid, name, quota, options or disabled.

        Raises MailError(NO_SUCH_USER | BAD_REQUEST).
        """
        request = pb.UpdateAccountRequest(
            account=pb.Account(address=address, **fields),
            update_mask=FieldMask(paths=list(fields)),
        )
        return _account(self._call(self._stub.UpdateAccount, request))

    def delete_account(
        self, address: str, *, purge_mail: bool = False, dry_run: bool = False
    ) -> Removal:
        """Remove an account. Its mail stays on disk unless `purge_mail`.

        Raises MailError(NO_SUCH_USER | CANNOT).
        """
        request = pb.DeleteAccountRequest(address=address, purge_mail=purge_mail, dry_run=dry_run)
        answer = self._call(self._stub.DeleteAccount, request)
        return Removal(Path(answer.home), answer.home_exists, answer.purged)

    def set_password(self, address: str, password: str, *, dry_run: bool = False) -> bool:
        """Set a password. Raises MailError(NO_SUCH_USER | BAD_REQUEST).

        A dry run returns False where exactly this password is set already.
        """
        request = pb.SetPasswordRequest(address=address, password=_bytes(password), dry_run=dry_run)
        return self._call(self._stub.SetPassword, request).changed

    def set_password_hash(self, address: str, password_hash: str, *, dry_run: bool = False) -> bool:
        """Store a hash as it is; "" means that no password fits any more.

        Returns False where that changes nothing.
        """
        request = pb.SetPasswordRequest(
            address=address,
            password_hash=password_hash,
            clear=not password_hash,
            dry_run=dry_run,
        )
        return self._call(self._stub.SetPassword, request).changed

    def kick(self, address: str) -> None:
        """End the sessions of an account everywhere. Raises MailError(NO_SUCH_USER)."""
        self._call(self._stub.Kick, pb.KickRequest(address=address))

    def sessions(self, address: str = "", domain: str = "") -> SessionList:
        """Return the live sessions of all, of an account, or of a domain."""
        request = pb.ListSessionsRequest(address=address, domain=domain)
        answer = self._call(self._stub.ListSessions, request)
        found = [SessionInfo.of(session) for session in answer.sessions]
        return SessionList(found, answer.workers, answer.silent)

    def test_login(
        self,
        user: str,
        password: str = "",
        *,
        service: str = "",
        mechanism: str = "",
        peer: str = "",
        new_password: str = "",
        show_hash: bool = False,
    ) -> LoginTest:
        """Try a login; without a password a look-up, with a new one a change of password.

        A refusal is a result. Raises MailError(PERMISSION | TEMPORARY).
        """
        request = pb.TestLoginRequest(
            user=user,
            password=_bytes(password),
            service=service,
            mechanism=mechanism,
            peer=peer,
            new_password=_bytes(new_password),
            show_hash=show_hash,
        )
        return LoginTest.of(self._call(self._stub.TestLogin, request))

    def import_accounts(self, request: pb.ImportAccountsRequest) -> list[Imported]:
        """Import up to 500 accounts in one transaction; what became of each, in their order."""
        answer = self._call(self._stub.ImportAccounts, request, BATCH_SECONDS)
        return [Imported(result.outcome, result.text) for result in answer.results]

    def create_token(
        self, name: str, role: str, domains: Sequence[str] = (), *, expires: int = 0
    ) -> tuple[TokenInfo, str]:
        """Make a token; return it and its secret, which nobody can be told again.

        `role` is one of admin_values.ROLES; `expires` in unix seconds, 0 for never. Raises
        MailError(BAD_REQUEST).
        """
        token = pb.Token(
            name=name,
            role=ROLES.get(role, pb.ROLE_UNSPECIFIED),
            domains=domains,
            expires=Timestamp(seconds=expires) if expires else None,
        )
        answer = self._call(self._stub.CreateToken, pb.CreateTokenRequest(token=token))
        return TokenInfo.of(answer.token), answer.secret

    def tokens(self) -> list[TokenInfo]:
        """Return all tokens, the oldest first."""
        answer = self._call(self._stub.ListTokens, pb.ListTokensRequest())
        return [TokenInfo.of(token) for token in answer.tokens]

    def delete_token(self, token: str) -> None:
        """End a token by its id. Raises MailError(NOT_FOUND)."""
        self._call(self._stub.DeleteToken, pb.DeleteTokenRequest(id=token))

    def create_master(self, address: str, domains: Sequence[str] = ()) -> MasterInfo:
        """Let an account log in as others. Raises MailError(NO_SUCH_USER | ALREADY_EXISTS)."""
        master = pb.Master(address=address, domains=domains)
        request = pb.CreateMasterRequest(master=master)
        return MasterInfo.of(self._call(self._stub.CreateMaster, request))

    def masters(self) -> list[MasterInfo]:
        """Return all masters by address."""
        answer = self._call(self._stub.ListMasters, pb.ListMastersRequest())
        return [MasterInfo.of(master) for master in answer.masters]

    def delete_master(self, address: str) -> None:
        """Make a master an account like any other. Raises MailError(NOT_FOUND)."""
        self._call(self._stub.DeleteMaster, pb.DeleteMasterRequest(address=address))

    def security(self, address: str) -> SecurityInfo:
        """Return second factors and app passwords. Raises MailError(NO_SUCH_USER)."""
        request = pb.GetSecurityRequest(address=address)
        return SecurityInfo.of(self._call(self._stub.GetSecurity, request))

    def reset_second_factor(self, address: str) -> None:
        """Take the second factor away from somebody who lost it. Raises MailError(NO_SUCH_USER)."""
        request = pb.ResetSecondFactorRequest(address=address)
        self._call(self._stub.ResetSecondFactor, request)

    def delete_app_password(self, address: str, app_password: str) -> None:
        """Withdraw an app password by its id. Raises MailError(NOT_FOUND)."""
        request = pb.DeleteAppPasswordRequest(address=address, id=app_password)
        self._call(self._stub.DeleteAppPassword, request)

    def audit(self, address: str = "", domain: str = "", action: str = "") -> Iterator[AuditInfo]:
        """Yield entries of the audit log, the newest first."""
        token = ""
        while True:
            request = pb.ListAuditRequest(
                address=address, domain=domain, action=action, page_size=_PAGE, page_token=token
            )
            page = self._call(self._stub.ListAudit, request)
            yield from map(AuditInfo.of, page.entries)
            token = page.next_page_token
            if not token:
                return

    def enumerate(self) -> Iterator[Account]:
        """Yield every account of every module. Raises MailError(TEMPORARY), also midway."""
        stub = auth_pb2_grpc.AuthStub(self._channel)
        try:
            for message in stub.Enumerate(auth_pb2.EnumerateRequest(), timeout=ENUMERATE_SECONDS):
                yield account_of(message.account)
        except grpc.RpcError as error:
            raise _mail_error(error) from None

    def lookup(self, address: str) -> Account:
        """Return an account of any module as services see it. MailError(NO_SUCH_USER)."""
        stub = auth_pb2_grpc.AuthStub(self._channel)
        return account_of(self._call(stub.Lookup, auth_pb2.LookupRequest(address=address)).account)

    def _call(self, method: Callable[..., _R], request: object, seconds: float = 0.0) -> _R:
        try:
            return method(
                request,
                timeout=seconds or self._deadline,
                metadata=self._metadata,
                wait_for_ready=False,
            )
        except grpc.RpcError as error:
            raise _mail_error(error) from None


class _Call(Protocol):
    """What grpc.RpcError is at run time: it is also the call."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None: ...


def _mail_error(error: Any) -> MailError:
    call: _Call = error
    ours = error_of(call.trailing_metadata(), call.details())
    if ours is not None:
        return ours
    if call.code() is grpc.StatusCode.UNIMPLEMENTED:
        text = "the auth service has no accounts to administrate (RESTANTE_AUTH_MODULES lacks sql)"
        return MailError(ErrorKind.CANNOT, text)
    return MailError(ErrorKind.TEMPORARY, "the auth service cannot be reached")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _domain(message: pb.Domain) -> DomainInfo:
    return DomainInfo(
        message.name,
        message.default_quota,
        message.default_options,
        message.accounts,
        message.created.seconds,
    )


def _account(message: pb.Account) -> AccountInfo:
    return AccountInfo(
        address=message.address,
        uid=message.uid,
        gid=message.gid,
        home=Path(message.home),
        maildir=Path(message.maildir),
        name=message.name,
        quota=message.quota,
        options=message.options,
        disabled=message.disabled,
        has_password=message.has_password,
        password_scheme=message.password_scheme,
        created=message.created.seconds,
        updated=message.updated.seconds,
    )
