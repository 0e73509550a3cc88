"""What a SASL mechanism is to auth: from an attempt to the record that it opens.

The exchange with the client happens in the services (restante.wire.sasl); auth gets its last
message, and what it needs to judge that, in one Attempt. So auth keeps no state between calls,
and any replica can answer.
"""

from dataclasses import dataclass, field
from typing import Protocol

from services.auth.backends.base import Backend, Record
from services.auth.names import Login


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to log in."""

    user: str  # authentication identity, as the client sent it; "" where the secret names it
    secret: bytes = field(repr=False)  # password, CRAM digest, SCRAM proof, bearer token
    service: str  # imap, pop3, webmail, smtp
    peer: str = ""  # IP address of the mail client, "" if unknown
    tls: bool = False  # the client's connection is encrypted
    mechanism: str = "plain"  # in lower case; "login" also for plain commands
    challenge: bytes = field(default=b"", repr=False)  # CRAM challenge, SCRAM AuthMessage
    authorization: str = ""  # authorization identity, "" for the user itself
    session: str = ""  # the service's id of the client's session
    second_factor_follows: bool = False  # our own login page: the password is only the first one


@dataclass(frozen=True, slots=True)
class Match:
    """What fitted."""

    login: Login
    module: Backend
    record: Record
    credential: str = "password"  # for the audit log: "password", "app password NAME", "oauth"...
    reusable: bool = True  # the same attempt gets this answer again, from any peer
    read_only: bool = False  # may read, may change nothing
    proof: bytes = b""  # SCRAM's ServerSignature


class Mechanism(Protocol):
    """Judges attempts of one mechanism."""

    async def match(self, attempt: Attempt, login: Login | None) -> Match | None:
        """Return what the attempt opens, None where it fits nothing.

        `login` is what attempt.user means, None where no account can have that name. An unknown
        user must cost what a wrong secret costs. Raises MailError(TEMPORARY) for any doubt.
        """
