"""What the tests of exchanges share."""

import base64
from collections.abc import Mapping

from restante.wire.sasl import MECHANISMS, Exchange, Scene


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def scene(
    *offered: str,
    bindings: Mapping[str, bytes] | None = None,
    certificate: str = "",
    nonce: str = "nonce",
) -> Scene:
    return Scene(
        offered or MECHANISMS, "mail.example.test", bindings or {}, certificate, lambda: nonce
    )


def exchange(
    mechanism: str, nonce: str = "nonce", bindings: Mapping[str, bytes] | None = None
) -> Exchange:
    return Exchange(mechanism, scene(nonce=nonce, bindings=bindings))
