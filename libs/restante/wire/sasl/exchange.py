"""One authentication attempt, whatever the mechanism: base64 lines in, steps out.

    step = exchange.begin(initial)              initial response, "=" for an empty one, or None
    Challenge:    send "+ data", then   step = exchange.step(line)
    ScramQuery:   ask auth, then        step = exchange.parameters(salt, iterations)
    Credentials:  ask auth, then        last = exchange.accepted(proof) or exchange.refused()
                  where that is a Challenge: send it, then exchange.finish(line)

A line "*" aborts (RFC 4422 section 3.3). Every method but accepted and refused may raise SaslError.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from restante.wire.sasl.base import Challenge, Mechanism, SaslError, Scene, Step
from restante.wire.sasl.bearer import Bearer
from restante.wire.sasl.cram import Cram
from restante.wire.sasl.external import External
from restante.wire.sasl.plain import Login, Plain
from restante.wire.sasl.scram import Scram

_TABLE: Final[dict[str, Callable[[Scene], Mechanism]]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "CRAM-MD5": partial(Cram, name="CRAM-MD5"),
    "CRAM-SHA1": partial(Cram, name="CRAM-SHA1"),
    "CRAM-SHA256": partial(Cram, name="CRAM-SHA256"),
    "SCRAM-SHA-256": partial(Scram, name="SCRAM-SHA-256"),
    "SCRAM-SHA-256-PLUS": partial(Scram, name="SCRAM-SHA-256-PLUS"),
    "EXTERNAL": External,
    "OAUTHBEARER": partial(Bearer, name="OAUTHBEARER"),
    "XOAUTH2": partial(Bearer, name="XOAUTH2"),
}
MECHANISMS: Final = tuple(_TABLE)

_IN_CLEAR: Final = (
    "PLAIN",
    "LOGIN",
    "OAUTHBEARER",
    "XOAUTH2",
)  # whoever reads along has the secret


def offered(
    configured: Sequence[str],
    *,
    private: bool,
    bindings: Callable[[], Mapping[str, bytes]],
    certificate: str,
) -> tuple[str, ...]:
    """Return what may be used on a connection, of what the operator allows, in his order.

    `private`: what shows a secret to whoever reads along is allowed here. `bindings` returns the
    channel binding data, `certificate` is the name in the client's certificate (Scene).
    """

    def fits(name: str) -> bool:
        if name in _IN_CLEAR:
            return private
        if name == "EXTERNAL":
            return bool(certificate)
        return not name.endswith("-PLUS") or bool(bindings())

    return tuple(name for name in configured if fits(name))


def takes_passwords(names: Sequence[str]) -> bool:
    """True where IMAP LOGIN and POP3 USER/PASS, which are PLAIN by another name, are allowed."""
    return "PLAIN" in names or "LOGIN" in names


class Exchange:
    """The server's side of one attempt; see the module's text for the order of calls."""

    __slots__ = ("_mechanism",)

    def __init__(self, mechanism: str, scene: Scene) -> None:
        """Raise SaslError for a mechanism that is not offered here (case does not matter)."""
        name = mechanism.upper()
        if name not in scene.offered or name not in _TABLE:
            raise SaslError("Unsupported authentication mechanism.")
        self._mechanism = _TABLE[name](scene)

    def begin(self, initial: bytes | None = None) -> Step:
        """Start, with the initial response of the command or None where there was none."""
        if initial is None:
            return self._mechanism.start()
        return self._mechanism.initial(b"" if initial == b"=" else _decode(initial))

    def step(self, line: bytes) -> Step:
        """Take one line of the client (no line ending)."""
        return self._mechanism.respond(_octets(line))

    def parameters(self, salt: bytes, iterations: int) -> Step:
        """Go on after a ScramQuery."""
        return self._mechanism.parameters(salt, iterations)

    def accepted(self, proof: bytes = b"") -> Challenge | None:
        """Auth let the user in; `proof` as it gave it."""
        return self._mechanism.accepted(proof)

    def refused(self) -> Challenge | None:
        """Auth refused the credentials."""
        return self._mechanism.refused()

    def finish(self, line: bytes) -> None:
        """Take the client's answer to the last challenge."""
        self._mechanism.finish(_octets(line))


def _octets(line: bytes) -> bytes:
    if line == b"*":
        raise SaslError("Authentication aborted.", aborted=True)
    return _decode(line)


def _decode(line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise SaslError("Invalid base64.") from None
