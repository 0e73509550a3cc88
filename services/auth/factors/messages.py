"""Second factors and app passwords <-> messages of the admin and self protocols."""

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.factors import store
from services.auth.factors.app_passwords import AppPassword
from services.auth.factors.passkeys import Passkey


def security_message(connection: Connection, address: str) -> pb.Security:
    """Read all that may be shown of an account's security; on a database thread."""
    row = store.get_totp(connection, address)
    return pb.Security(
        totp=bool(row and row["confirmed"]),
        passkeys=map(passkey_message, store.list_passkeys(connection, address)),
        app_passwords=map(app_password_message, store.list_app_passwords(connection, address)),
        recovery_codes=store.recovery_left(connection, address),
    )


def passkey_message(passkey: Passkey) -> pb.Passkey:
    """Return what may be shown of a passkey."""
    return pb.Passkey(
        id=passkey.id,
        name=passkey.name,
        created=_time(passkey.created),
        last_used=_time(passkey.last_used),
    )


def app_password_message(found: AppPassword) -> pb.AppPassword:
    """Return what may be shown of an app password."""
    return pb.AppPassword(
        id=found.id,
        name=found.name,
        services=found.services,
        read_only=found.read_only,
        networks=found.networks,
        expires=_time(found.expires),
        created=_time(found.created),
        last_used=_time(found.last_used),
        last_peer=found.last_peer,
        last_service=found.last_service,
    )


def wanted_app_password(message: pb.AppPassword) -> AppPassword:
    """Return what somebody asks for; unchecked, and without id and digest."""
    return AppPassword(
        "",
        message.name.strip(),
        "",
        tuple(dict.fromkeys(message.services)),
        tuple(message.networks),
        message.read_only,
        message.expires.seconds,
    )


def _time(seconds: int) -> Timestamp | None:
    return Timestamp(seconds=seconds) if seconds else None
