"""A login as the services give it to auth, and what comes back."""

from dataclasses import dataclass, field

from restante.model import Account


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """The fields of AuthenticateRequest; see there what `secret` and `challenge` are.

    `user` and `authorization` may hold surrogate escapes: no such account exists.
    """

    user: str
    secret: bytes = field(repr=False)
    service: str  # imap, pop3, webmail
    peer: str = ""  # IP address of the mail client: failures are slowed per user and peer
    tls: bool = False
    mechanism: str = "plain"  # SASL's name in lower case, "login" for plain commands
    challenge: bytes = field(default=b"", repr=False)
    authorization: str = ""  # "" for the user itself
    session: str = ""  # id of the client's session, for the audit log

    @property
    def is_password(self) -> bool:
        """True where the same attempt may get the same answer again."""
        return self.mechanism in ("plain", "login") and not self.authorization


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who came in."""

    account: Account
    actor: str = ""  # address of the master user who came in as the account, "" for its owner
    proof: bytes = b""  # SCRAM's ServerSignature
