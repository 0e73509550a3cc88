"""Second factors and app passwords of accounts of any module, for those who lost them."""

from sqlalchemy import Connection

from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.admin.roles import Caller
from services.auth.admin.tools import Operation, Tools, check_text, moment
from services.auth.factors import store


class Factors:
    """The operations."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._database = tools, tools.database

    async def get(self, caller: Caller, request: pb.GetSecurityRequest) -> pb.Security:
        """Describe what an account has beside its password; nothing secret is in it."""
        address = await self._tools.existing(request.address)
        return await self._database.run(lambda c: security_of(c, address))

    async def reset(
        self, caller: Caller, request: pb.ResetSecondFactorRequest
    ) -> pb.ResetSecondFactorResponse:
        """Take one-time codes, passkeys and recovery codes away."""
        address = await self._tools.existing(request.address)
        await self._database.run(lambda c: store.reset_second_factor(c, address), write=True)
        return pb.ResetSecondFactorResponse()

    async def delete_app_password(
        self, caller: Caller, request: pb.DeleteAppPasswordRequest
    ) -> pb.DeleteAppPasswordResponse:
        """Withdraw an app password."""
        address = self._tools.rules.parse(request.address).address
        check_text(request.id, "id")
        await self._database.run(
            lambda c: store.remove_app_password(c, address, request.id), write=True
        )
        return pb.DeleteAppPasswordResponse()


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    factors = Factors(tools)
    return {
        "GetSecurity": factors.get,
        "ResetSecondFactor": factors.reset,
        "DeleteAppPassword": factors.delete_app_password,
    }


def security_of(connection: Connection, address: str) -> pb.Security:
    """Return what an account has; runs on a database thread."""
    totp = store.get_totp(connection, address)
    return pb.Security(
        totp=totp is not None and totp["confirmed"],
        passkeys=[
            pb.Passkey(
                id=found.id,
                name=found.name,
                created=moment(found.created),
                last_used=moment(found.last_used),
            )
            for found in store.list_passkeys(connection, address)
        ],
        app_passwords=[
            pb.AppPassword(
                id=found.id,
                name=found.name,
                services=found.services,
                read_only=found.read_only,
                networks=found.networks,
                expires=moment(found.expires),
                created=moment(found.created),
                last_used=moment(found.last_used),
                last_peer=found.last_peer,
                last_service=found.last_service,
            )
            for found in store.list_app_passwords(connection, address)
        ],
        recovery_codes=store.recovery_left(connection, address),
    )
