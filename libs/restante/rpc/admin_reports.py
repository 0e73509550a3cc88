"""What Admin reports, as values for the command line and scripts."""

from dataclasses import dataclass

from restante.model import Account
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.auth.v1 import auth_pb2
from restante.rpc.convert import account_of


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A live session. `since` in unix seconds."""

    address: str
    service: str
    peer: str
    client: str  # what the client calls itself
    tls: bool
    mechanism: str
    since: int
    host: str  # where the service runs
    actor: str  # the master user, "" for the owner
    session: str = ""  # its id in the log

    @classmethod
    def of(cls, message: auth_pb2.Session) -> "SessionInfo":
        """Return the session of a message."""
        return cls(
            address=message.address,
            service=message.service,
            peer=message.peer,
            client=message.client,
            tls=message.tls,
            mechanism=message.mechanism,
            since=message.since.seconds,
            host=message.host,
            actor=message.actor,
            session=message.session,
        )


@dataclass(frozen=True, slots=True)
class SessionList:
    """All live sessions that were told; `silent` workers did not say theirs in time."""

    sessions: list[SessionInfo]
    workers: int
    silent: int


@dataclass(frozen=True, slots=True)
class LoginStep:
    """One question on the way of a login."""

    who: str
    answer: str
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LoginTest:
    """A login, or look-up, that was tried. `outcome` is "ok" or the kind of the error."""

    outcome: str
    text: str
    steps: list[LoginStep]
    account: Account | None
    module: str
    credential: str
    password_hash: str
    clear_password: str

    @classmethod
    def of(cls, message: pb.TestLoginResponse) -> "LoginTest":
        """Return the result of a message."""
        return cls(
            outcome=message.outcome,
            text=message.text,
            steps=[LoginStep(s.who, s.answer, s.detail, s.seconds) for s in message.steps],
            account=account_of(message.account) if message.HasField("account") else None,
            module=message.module,
            credential=message.credential,
            password_hash=message.password_hash,
            clear_password=message.clear_password,
        )


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one account of an import."""

    outcome: str  # "created", "updated", "unchanged", "exists", "refused"
    text: str
