"""PLAIN (RFC 4616) and LOGIN, the de-facto mechanism of old clients."""

from restante.wire.sasl.base import Challenge, Credentials, SaslError, Scene, Simple, Step, text


class Plain(Simple):
    """authzid NUL authcid NUL password."""

    def __init__(self, scene: Scene) -> None:
        """Needs nothing of the scene."""

    def respond(self, data: bytes) -> Step:
        """Take all at once."""
        parts = data.split(b"\0")
        if len(parts) != 3 or not parts[1]:
            raise SaslError("Invalid PLAIN response.")
        authorization, user = text(parts[0]), text(parts[1])
        text(parts[2])
        return Credentials(user, parts[2], "" if authorization == user else authorization)


class Login(Simple):
    """The name, then the password."""

    def __init__(self, scene: Scene) -> None:
        """Needs nothing of the scene."""
        self._user: str | None = None

    def start(self) -> Step:
        """Ask for the name."""
        return Challenge.of(b"Username:")

    def initial(self, data: bytes) -> Step:
        """An empty initial response says nothing yet: ask as if there had been none."""
        return self.respond(data) if data else self.start()

    def respond(self, data: bytes) -> Step:
        """Take the name, then the password."""
        if b"\0" in data:
            raise SaslError("Invalid LOGIN response.")
        if self._user is None:
            if not data:
                raise SaslError("Invalid LOGIN response.")
            self._user = text(data)
            return Challenge.of(b"Password:")
        text(data)
        return Credentials(self._user, data)
