"""Tokens, masters, audit entries and second factors, as values for the command line and scripts.

Times are unix seconds, 0 is never.
"""

from dataclasses import dataclass
from typing import Final

from restante.rpc.admin.v1 import admin_pb2 as pb

ROLES: Final = {
    "superadmin": pb.ROLE_SUPERADMIN,
    "domain-admin": pb.ROLE_DOMAIN_ADMIN,
    "read-only": pb.ROLE_READ_ONLY,
}


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """An API token without its secret."""

    id: str
    name: str
    role: str  # of ROLES
    domains: list[str]
    expires: int
    created: int
    last_used: int

    @classmethod
    def of(cls, message: pb.Token) -> "TokenInfo":
        """Return the token of a message."""
        names = {number: name for name, number in ROLES.items()}
        return cls(
            id=message.id,
            name=message.name,
            role=names.get(message.role, "unknown"),
            domains=list(message.domains),
            expires=message.expires.seconds,
            created=message.created.seconds,
            last_used=message.last_used.seconds,
        )


@dataclass(frozen=True, slots=True)
class MasterInfo:
    """An account that may log in as others."""

    address: str
    domains: list[str]  # whose accounts; none: all
    created: int

    @classmethod
    def of(cls, message: pb.Master) -> "MasterInfo":
        """Return the master of a message."""
        return cls(message.address, list(message.domains), message.created.seconds)


@dataclass(frozen=True, slots=True)
class AuditInfo:
    """An entry of the audit log."""

    id: int
    time: int
    action: str
    actor: str
    address: str
    service: str
    peer: str
    result: str
    detail: str

    @classmethod
    def of(cls, message: pb.AuditEntry) -> "AuditInfo":
        """Return the entry of a message."""
        return cls(
            id=message.id,
            time=message.time.seconds,
            action=message.action,
            actor=message.actor,
            address=message.address,
            service=message.service,
            peer=message.peer,
            result=message.result,
            detail=message.detail,
        )


@dataclass(frozen=True, slots=True)
class PasskeyInfo:
    """A passkey or security key."""

    id: str
    name: str
    created: int
    last_used: int


@dataclass(frozen=True, slots=True)
class AppPasswordInfo:
    """A password for one mail program, without its secret."""

    id: str
    name: str
    services: list[str]  # none: all but webmail
    read_only: bool
    networks: list[str]  # none: from anywhere
    expires: int
    created: int
    last_used: int
    last_peer: str
    last_service: str


@dataclass(frozen=True, slots=True)
class SecurityInfo:
    """What an account has beside its password."""

    totp: bool
    recovery_codes: int  # that are left
    passkeys: list[PasskeyInfo]
    app_passwords: list[AppPasswordInfo]

    @classmethod
    def of(cls, message: pb.Security) -> "SecurityInfo":
        """Return the factors of a message."""
        return cls(
            totp=message.totp,
            recovery_codes=message.recovery_codes,
            passkeys=[
                PasskeyInfo(key.id, key.name, key.created.seconds, key.last_used.seconds)
                for key in message.passkeys
            ],
            app_passwords=[
                AppPasswordInfo(
                    id=found.id,
                    name=found.name,
                    services=list(found.services),
                    read_only=found.read_only,
                    networks=list(found.networks),
                    expires=found.expires.seconds,
                    created=found.created.seconds,
                    last_used=found.last_used.seconds,
                    last_peer=found.last_peer,
                    last_service=found.last_service,
                )
                for found in message.app_passwords
            ],
        )
