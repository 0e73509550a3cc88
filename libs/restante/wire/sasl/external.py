"""EXTERNAL (RFC 4422 appendix A): the name in the client's verified certificate logs in."""

from restante.wire.sasl.base import Credentials, SaslError, Scene, Simple, Step, text


class External(Simple):
    """The response is the authorization identity, or empty."""

    def __init__(self, scene: Scene) -> None:
        if not scene.certificate:
            raise SaslError("No client certificate was verified.")
        self._name = scene.certificate

    def respond(self, data: bytes) -> Step:
        """Take the authorization identity."""
        wanted = text(data, "The name")
        if "\0" in wanted:
            raise SaslError("Invalid EXTERNAL response.")
        return Credentials(self._name, b"", "" if wanted == self._name else wanted)
