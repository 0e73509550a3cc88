"""Accounts of the SQL module; a kick, and a new password by a superadmin, for those of any.

A domain admin may not change what an account means to the system outside his domain: uid and gid
(whose files it reads), and the options in PRIVILEGED (whose shared folders it sees, which server
gets its password).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, RowMapping

from restante.model import ErrorKind, MailError, Options
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.revocation import Reason
from services.auth import directory, purge
from services.auth.admin.roles import Caller, Right
from services.auth.admin.tools import Operation, Tools, masked, page
from services.auth.backends.base import PasswordChange
from services.auth.database import journal
from services.auth.names import Login, domain_name
from services.auth.passwords import schemes

PRIVILEGED: Final = ("group", "sharedgroup", "mailhost")

_FIELDS: Final = ("uid", "gid", "name", "quota", "options", "disabled")


class Accounts:
    """The operations."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._database = tools, tools.database

    async def create(self, caller: Caller, request: pb.CreateAccountRequest) -> pb.Account:
        """Add an account."""
        given, sql = request.account, self._tools.accounts
        fields = {"options": given.options}
        if given.uid or given.gid:
            fields["uid"] = ""
        _check_fields(caller, fields, "")
        login = self._tools.rules.parse(given.address)
        new = directory.NewAccount(
            login,
            given.uid or self._tools.uid,
            given.gid or self._tools.gid,
            name=given.name,
            quota=given.quota,
            options=given.options,
            password=await self._stored(
                request.password, request.password_hash, login.address, given.name
            ),
            disabled=given.disabled,
            verifiers=await self._verifiers(request.password),
        )
        row = await self._database.run(
            lambda c: directory.create_account(c, new, sql.mail_root), write=True
        )
        return self._account(row)

    async def get(self, caller: Caller, request: pb.GetAccountRequest) -> pb.Account:
        """Describe an account."""
        return self._account(await self._row(request.address))

    async def list(
        self, caller: Caller, request: pb.ListAccountsRequest
    ) -> pb.ListAccountsResponse:
        """List accounts by address: of a domain, of all, or of those that bind the caller."""
        self._tools.need_accounts()
        limit, after = page(request.page_size, request.page_token)
        domain = domain_name(request.domain) if request.domain else ""

        def work(connection: Connection) -> Sequence[RowMapping]:
            if domain:
                directory.get_domain(connection, domain)
            return directory.list_accounts(
                connection, after=after, limit=limit + 1, domain=domain, within=caller.domains
            )

        rows = await self._database.run(work)
        return pb.ListAccountsResponse(
            accounts=map(self._account, rows[:limit]),
            next_page_token=rows[limit - 1]["address"] if len(rows) > limit else "",
        )

    async def update(self, caller: Caller, request: pb.UpdateAccountRequest) -> pb.Account:
        """Change fields of an account."""
        self._tools.need_accounts()
        address = self._tools.rules.parse(request.account.address).address
        values = masked(request.account, request.update_mask, _FIELDS)

        def work(connection: Connection) -> RowMapping:
            row = directory.get_account(connection, address)
            _check_fields(caller, values, row["options"])
            return directory.update_account(connection, address, values)

        return self._account(await self._database.run(work, write=True))

    async def delete(
        self, caller: Caller, request: pb.DeleteAccountRequest
    ) -> pb.DeleteAccountResponse:
        """Remove an account and, only where asked, its mail."""
        if request.purge_mail:
            caller.need(Right.ALL, "remove mail")
        row = await self._row(request.address)
        address, sql = row["address"], self._tools.accounts
        home = sql.record_of(row).account.home
        if request.purge_mail:
            await asyncio.to_thread(purge.check_purgeable, home, sql.mail_root)
        existed = await asyncio.to_thread(home.exists)
        answer = pb.DeleteAccountResponse(home=str(home), home_exists=existed)
        if request.dry_run:
            return answer
        await self._database.run(
            lambda c: directory.delete_account(c, address, dry_run=False), write=True
        )
        # The account goes first: nothing can be delivered into, or read from, what is removed.
        if request.purge_mail:
            answer.purged = await asyncio.to_thread(purge.purge, home, sql.mail_root)
        return answer

    async def set_password(
        self, caller: Caller, request: pb.SetPasswordRequest
    ) -> pb.SetPasswordResponse:
        """Set or clear a password."""
        given = bool(request.password) + bool(request.password_hash) + request.clear
        if given != 1:
            raise MailError(ErrorKind.BAD_REQUEST, "give a password, a hash, or clear: one of them")
        login = self._tools.rules.parse(request.address)
        row = await self._row_of(login)
        if row is None:
            return await self._set_elsewhere(caller, login, request)
        address = row["address"]
        if not request.password and row["password"] == request.password_hash:
            return pb.SetPasswordResponse(changed=False)
        if request.dry_run and request.password and row["password"]:
            fits = await self._tools.verifier.verify(row["password"], request.password)
            if fits:
                return pb.SetPasswordResponse(changed=False)
        stored = await self._stored(request.password, request.password_hash, address, row["name"])
        if not request.dry_run:
            values, verifiers = {"password": stored}, await self._verifiers(request.password)
            await self._database.run(
                lambda c: directory.update_account(c, address, values, verifiers), write=True
            )
        return pb.SetPasswordResponse(changed=True)

    async def _set_elsewhere(
        self, caller: Caller, login: Login, request: pb.SetPasswordRequest
    ) -> pb.SetPasswordResponse:
        """Set the password of an account of another module, as far as that can.

        That is the system's own business: these may be system accounts.
        """
        found = await self._tools.authenticator.chain.find(login)
        if found is None:
            raise MailError(ErrorKind.NO_SUCH_USER, f"no account {login.address}")
        module, record = found
        caller.need(Right.ALL, f"set passwords of module {module.name}")
        if not request.password:
            text = f"for an account of module {module.name} give a password, not a hash"
            raise MailError(ErrorKind.CANNOT, text)
        new, name = request.password, record.account.name
        stored = await self._stored(new, "", login.address, name)
        if not request.dry_run:
            if not await module.set_password(login, PasswordChange(new, stored)):
                text = f"module {module.name} cannot change this password"
                raise MailError(ErrorKind.CANNOT, text)
            await self._database.run(
                lambda c: journal.record(c, login.address, Reason.PASSWORD), write=True
            )
        return pb.SetPasswordResponse(changed=True)

    async def kick(self, caller: Caller, request: pb.KickRequest) -> pb.KickResponse:
        """End the sessions of an account of any module."""
        address = await self._tools.existing(request.address)
        await self._database.run(lambda c: directory.kick(c, address), write=True)
        return pb.KickResponse()

    async def _row(self, address: str) -> RowMapping:
        self._tools.need_accounts()
        canonical = self._tools.rules.parse(address).address
        return await self._database.run(lambda c: directory.get_account(c, canonical))

    async def _row_of(self, login: Login) -> RowMapping | None:
        """Return an account's row, None where it is none of the SQL module's."""
        if self._tools.sql is None:
            return None
        found = await self._database.run(
            lambda c: directory.list_accounts(c, after=None, limit=1, address=login.address)
        )
        return found[0] if found else None

    async def _stored(self, password: bytes, given_hash: str, address: str, name: str) -> str:
        """Return the hash to store, "" where neither is given."""
        if password and given_hash:
            raise MailError(ErrorKind.BAD_REQUEST, "give a password or a hash, not both")
        if password:
            await self._tools.policy.check(password, address, name, by_administrator=True)
            return await self._tools.verifier.hash(password)
        if given_hash and not schemes.scheme_of(given_hash):
            raise MailError(ErrorKind.BAD_REQUEST, "a hash of an unknown scheme")
        return given_hash

    async def _verifiers(self, password: bytes) -> dict[str, str]:
        """Return what challenges need of a password, where a setting wants that kept."""
        return await self._tools.authenticator.verifiers(password) if password else {}

    def _account(self, row: RowMapping) -> pb.Account:
        account = self._tools.accounts.record_of(row).account
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


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    accounts = Accounts(tools)
    return {
        "CreateAccount": accounts.create,
        "GetAccount": accounts.get,
        "ListAccounts": accounts.list,
        "UpdateAccount": accounts.update,
        "DeleteAccount": accounts.delete,
        "SetPassword": accounts.set_password,
        "Kick": accounts.kick,
    }


def _check_fields(caller: Caller, values: Mapping[str, Any], options: str) -> None:
    """Raise MailError(PERMISSION) where a caller may not set these; `options` are those now."""
    if "uid" in values or "gid" in values:
        caller.need(Right.ALL, "set uid or gid")
    if "options" in values:
        before, after = Options.parse(options), Options.parse(values["options"])
        if any(before.all(name) != after.all(name) for name in PRIVILEGED):
            caller.need(Right.ALL, f"set {', '.join(PRIVILEGED)}")
