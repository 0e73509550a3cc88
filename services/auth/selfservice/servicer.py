"""restante.rpc.self.v1.Self: what an account's owner does himself. Conversion only."""

from google.protobuf.timestamp_pb2 import Timestamp

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2
from restante.rpc.convert import account_to_message
from restante.rpc.self.v1 import self_pb2 as pb
from restante.rpc.self.v1 import self_pb2_grpc
from services.auth.audit_message import entry_to_message
from services.auth.audit_table import Query
from services.auth.factors.messages import (
    app_password_message,
    passkey_message,
    security_message,
    wanted_app_password,
)
from services.auth.selfservice.guard import Caller, login_step, owner
from services.auth.selfservice.login import LoginSteps, Step
from services.auth.selfservice.parts import Parts, main_password
from services.auth.selfservice.setup import Setup

_PAGE = 50
_MAX_PAGE = 500


class SelfServicer(self_pb2_grpc.SelfServicer):
    """The gRPC face of what owners do."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._login, self._setup = LoginSteps(parts), Setup(parts)

    @login_step
    async def Login(self, request: pb.LoginRequest) -> pb.LoginResponse:
        """Begin with the password."""
        return self._step(
            await self._login.password(
                request.user,
                request.password,
                peer=request.peer,
                tls=request.tls,
                client=request.client,
            )
        )

    @login_step
    async def SecondFactor(self, request: pb.SecondFactorRequest) -> pb.LoginResponse:
        """Go on with the second factor."""
        return self._step(
            await self._login.second_factor(
                request.token,
                code=request.totp,
                recovery=request.recovery,
                passkey=request.passkey,
                peer=request.peer,
            )
        )

    @login_step
    async def BeginPasskeyLogin(
        self, request: pb.BeginPasskeyLoginRequest
    ) -> pb.BeginPasskeyLoginResponse:
        """Begin with a passkey alone."""
        options, state = await self._login.begin_passkey()
        return pb.BeginPasskeyLoginResponse(options=options, state=state)

    @login_step
    async def PasskeyLogin(self, request: pb.PasskeyLoginRequest) -> pb.LoginResponse:
        """Log in by a passkey alone."""
        return self._step(
            await self._login.passkey(
                request.state, request.passkey, peer=request.peer, client=request.client
            )
        )

    @owner()
    async def GetSession(
        self, request: pb.GetSessionRequest, caller: Caller
    ) -> pb.GetSessionResponse:
        """Tell whose session it is."""
        return pb.GetSessionResponse(
            account=account_to_message(caller.account),
            expires=Timestamp(seconds=self.parts.sessions.ends(caller.session)),
            actor=caller.session.actor,
        )

    @owner()
    async def Logout(self, request: pb.LogoutRequest, caller: Caller) -> pb.LogoutResponse:
        """End this session."""
        await self.parts.sessions.end(caller.session.address, caller.session.id)
        return pb.LogoutResponse()

    @owner()
    async def ListSessions(
        self, request: pb.ListSessionsRequest, caller: Caller
    ) -> pb.ListSessionsResponse:
        """List the account's sessions of webmail."""
        found = await self.parts.sessions.list(caller.session.address)
        return pb.ListSessionsResponse(
            sessions=[
                pb.WebSession(
                    id=session.id,
                    peer=session.peer,
                    client=session.client,
                    since=Timestamp(seconds=session.created),
                    last_seen=Timestamp(seconds=session.last_seen),
                    current=session.id == caller.session.id,
                )
                for session in found
            ]
        )

    @owner("session.end")
    async def EndSession(
        self, request: pb.EndSessionRequest, caller: Caller
    ) -> pb.EndSessionResponse:
        """End one session of webmail, or all others."""
        if not request.id:
            await self.parts.sessions.end_others(caller.session)
        elif not await self.parts.sessions.end(caller.session.address, request.id):
            raise MailError(ErrorKind.NOT_FOUND, "no such session")
        return pb.EndSessionResponse()

    @owner()  # the authenticator records it
    async def ChangePassword(
        self, request: pb.ChangePasswordRequest, caller: Caller
    ) -> pb.ChangePasswordResponse:
        """Set a new password; every other session of the account ends."""
        if caller.session.actor:
            raise MailError(ErrorKind.PERMISSION, "a master user changes nothing here")
        if caller.account.options.enabled("wbnochangepass"):
            raise MailError(ErrorKind.PERMISSION, "the password of this account stays as it is")
        attempt = main_password(caller.session, request.old_password)
        await self.parts.authenticator.change_password(
            attempt, request.new_password, keep_session=caller.session.id
        )
        await self.parts.sessions.confirm(caller.session)
        return pb.ChangePasswordResponse()

    @owner()
    async def GetSecurity(
        self, request: pb.GetSecurityRequest, caller: Caller
    ) -> admin_pb2.Security:
        """Describe second factors and app passwords."""
        address = caller.session.address
        return await self.parts.database.run(lambda c: security_message(c, address))

    @owner("totp.begin")
    async def BeginTotp(self, request: pb.BeginTotpRequest, caller: Caller) -> pb.BeginTotpResponse:
        """Make a secret for an authenticator app."""
        secret, uri = await self._setup.begin_totp(caller.session, request.password)
        return pb.BeginTotpResponse(secret=secret, uri=uri)

    @owner("totp.set")
    async def ConfirmTotp(
        self, request: pb.ConfirmTotpRequest, caller: Caller
    ) -> pb.ConfirmTotpResponse:
        """Let it count."""
        made = await self._setup.confirm_totp(caller.session, request.code)
        return pb.ConfirmTotpResponse(recovery_codes=made)

    @owner("totp.remove")
    async def RemoveTotp(
        self, request: pb.RemoveTotpRequest, caller: Caller
    ) -> pb.RemoveTotpResponse:
        """Remove one-time codes."""
        await self._setup.remove_totp(caller.session, request.password)
        return pb.RemoveTotpResponse()

    @owner("passkey.begin")
    async def BeginPasskey(
        self, request: pb.BeginPasskeyRequest, caller: Caller
    ) -> pb.BeginPasskeyResponse:
        """Begin to register a passkey."""
        options, state = await self._setup.begin_passkey(caller.session, request.password)
        return pb.BeginPasskeyResponse(options=options, state=state)

    @owner("passkey.add", lambda request: request.name)
    async def ConfirmPasskey(
        self, request: pb.ConfirmPasskeyRequest, caller: Caller
    ) -> admin_pb2.Passkey:
        """Add it."""
        return passkey_message(
            await self._setup.confirm_passkey(
                caller.session, request.state, request.passkey, request.name
            )
        )

    @owner("passkey.remove", lambda request: request.id)
    async def RemovePasskey(
        self, request: pb.RemovePasskeyRequest, caller: Caller
    ) -> pb.RemovePasskeyResponse:
        """Remove a passkey."""
        await self._setup.remove_passkey(caller.session, request.password, request.id)
        return pb.RemovePasskeyResponse()

    @owner("recovery.new")
    async def NewRecoveryCodes(
        self, request: pb.NewRecoveryCodesRequest, caller: Caller
    ) -> pb.NewRecoveryCodesResponse:
        """Replace the recovery codes."""
        made = await self._setup.new_recovery(caller.session, request.password)
        return pb.NewRecoveryCodesResponse(recovery_codes=made)

    @owner("app-password.create", lambda request: request.app_password.name)
    async def CreateAppPassword(
        self, request: pb.CreateAppPasswordRequest, caller: Caller
    ) -> pb.CreateAppPasswordResponse:
        """Make an app password."""
        wanted = wanted_app_password(request.app_password)
        made, secret = await self._setup.create_app_password(
            caller.session, request.password, wanted
        )
        return pb.CreateAppPasswordResponse(app_password=app_password_message(made), secret=secret)

    @owner("app-password.delete", lambda request: request.id)
    async def DeleteAppPassword(
        self, request: pb.DeleteAppPasswordRequest, caller: Caller
    ) -> pb.DeleteAppPasswordResponse:
        """Withdraw an app password."""
        await self._setup.delete_app_password(caller.session, request.id)
        return pb.DeleteAppPasswordResponse()

    @owner()
    async def ListAudit(
        self, request: pb.ListAuditRequest, caller: Caller
    ) -> admin_pb2.ListAuditResponse:
        """Show what the audit log has about the account."""
        limit = min(request.page_size or _PAGE, _MAX_PAGE)
        if request.page_token and not request.page_token.isdecimal():
            raise MailError(ErrorKind.BAD_REQUEST, "a wrong page_token")
        await self.parts.audit.flush()
        rows = await self.parts.audit.entries(
            Query(address=caller.session.address),
            before=int(request.page_token or 0),
            limit=limit + 1,
        )
        return admin_pb2.ListAuditResponse(
            entries=map(entry_to_message, rows[:limit]),
            next_page_token=str(rows[limit - 1].id) if len(rows) > limit else "",
        )

    def _step(self, step: Step) -> pb.LoginResponse:
        session = step.opened.session
        return pb.LoginResponse(
            token=step.opened.token,
            second_factors=step.factors,
            passkey_options=step.passkey_options,
            account=account_to_message(step.account) if step.account else None,
            expires=Timestamp(seconds=self.parts.sessions.ends(session)),
        )
