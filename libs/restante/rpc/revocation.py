"""What auth tells those who keep verdicts, look-ups or sessions (rpc Auth.Watch)."""

from dataclasses import dataclass
from enum import IntEnum

from restante.rpc.auth.v1 import auth_pb2


class Reason(IntEnum):
    """Why; the numbers are those of auth.proto. One that is not known yet ends sessions."""

    CHANGED = auth_pb2.Revocation.REASON_CHANGED
    PASSWORD = auth_pb2.Revocation.REASON_PASSWORD
    DISABLED = auth_pb2.Revocation.REASON_DISABLED
    REMOVED = auth_pb2.Revocation.REASON_REMOVED
    KICKED = auth_pb2.Revocation.REASON_KICKED

    @classmethod
    def _missing_(cls, value: object) -> "Reason":
        return cls.KICKED


@dataclass(frozen=True, slots=True)
class Revocation:
    """Verdicts and look-ups of an account are void. `address` "" is every account."""

    address: str
    reason: Reason

    @property
    def ends_sessions(self) -> bool:
        """True where live sessions must end, too."""
        return self.reason is not Reason.CHANGED


def revocation_to_message(revocation: Revocation) -> auth_pb2.Revocation:
    """Return the message of a revocation."""
    name = f"REASON_{revocation.reason.name}"
    return auth_pb2.Revocation(address=revocation.address, reason=name)


def revocation_of(message: auth_pb2.Revocation) -> Revocation:
    """Return the revocation of a message."""
    return Revocation(message.address, Reason(message.reason))
