"""What the mechanisms share: the steps of an exchange, and the scene that it plays in."""

import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

MAX_NAME: Final = 1024  # octets of a user name or password
MAX_TOKEN: Final = 8192  # octets of a bearer token

_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})


class SaslError(Exception):
    """The exchange failed; `aborted` when the client gave it up by "*"."""

    def __init__(self, text: str, *, aborted: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.aborted = aborted


@dataclass(frozen=True, slots=True)
class Challenge:
    """What to send next: `data` is base64, to be prefixed with "+ "."""

    data: bytes

    @classmethod
    def of(cls, octets: bytes) -> "Challenge":
        """Return the challenge of octets that are not encoded yet."""
        return cls(b64encode(octets))


@dataclass(frozen=True, slots=True)
class Credentials:
    """What auth has to judge now; the fields are those of AuthenticateRequest.

    `secret` is the password; CRAM's hexadecimal digest, SCRAM's ClientProof, a bearer token, b""
    for EXTERNAL. `challenge` is what it answers: CRAM's challenge, SCRAM's AuthMessage.
    """

    user: str  # "" where the secret names it
    secret: bytes = field(repr=False)
    authorization: str = ""  # "" when the user acts as itself
    challenge: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ScramQuery:
    """Salt and iterations of this user are wanted: go on with Exchange.parameters."""

    user: str


Step = Challenge | Credentials | ScramQuery


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of the connection.

    `bindings`: channel binding data by type ("tls-server-end-point"), empty without TLS.
    """

    offered: tuple[str, ...]  # the mechanisms that the client was told of, in upper case
    host: str = "localhost"  # our name in challenges
    bindings: Mapping[str, bytes] = field(default_factory=lambda: _NOTHING, repr=False)
    certificate: str = ""  # the name in the client's verified certificate
    nonce: Callable[[], str] = lambda: secrets.token_urlsafe(24)


class Mechanism(Protocol):
    """One mechanism's server side, on octets. Every method may raise SaslError."""

    def start(self) -> Step:
        """Return the first challenge, where the client sent no initial response."""

    def initial(self, data: bytes) -> Step:
        """Take the initial response."""

    def respond(self, data: bytes) -> Step:
        """Take the answer to the last challenge."""

    def parameters(self, salt: bytes, iterations: int) -> Step:
        """Take what a ScramQuery asked for."""

    def accepted(self, proof: bytes) -> Challenge | None:
        """Auth said yes: return what must still be sent, and be answered, before the success."""

    def refused(self) -> Challenge | None:
        """Auth said no: return what must still be sent, and be answered, before the failure."""

    def finish(self, data: bytes) -> None:
        """Take the answer to the last challenge of all."""


class Simple(Mechanism):
    """What most mechanisms do: nothing special."""

    def start(self) -> Step:
        """Ask with an empty challenge."""
        return Challenge(b"")

    def initial(self, data: bytes) -> Step:
        """An initial response is an answer to the empty challenge."""
        return self.respond(data)

    def parameters(self, salt: bytes, iterations: int) -> Step:
        """Nobody asked."""
        raise SaslError("Unexpected parameters.")

    def accepted(self, proof: bytes) -> Challenge | None:
        """Nothing is missing."""
        return None

    def refused(self) -> Challenge | None:
        """Nothing is missing."""
        return None

    def finish(self, data: bytes) -> None:
        """There is no last challenge."""
        raise SaslError("Unexpected response.")


def text(data: bytes, what: str = "Name and password") -> str:
    """Return the text of a field. Raises SaslError where it is too long or not UTF-8."""
    if len(data) > MAX_NAME:
        raise SaslError(f"{what} is too long.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SaslError(f"{what} must be UTF-8.") from None
