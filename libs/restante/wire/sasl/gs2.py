"""The GS2 header (RFC 5801 section 4) that SCRAM and OAUTHBEARER start with.

gs2-header = ("p=" type / "n" / "y") "," ["a=" authzid] ","
"""

import re
from dataclasses import dataclass
from typing import Final

from restante.wire.sasl.base import MAX_NAME, SaslError, text

_TYPE: Final = re.compile(rb"p=([A-Za-z0-9.-]{1,64})\Z")
_BAD_ESCAPE: Final = re.compile(rb"=(?!2C|3D)")


@dataclass(frozen=True, slots=True)
class Gs2Header:
    """What the client says of channel binding, and whom it wants to be."""

    raw: bytes  # with both commas, as sent
    binding: str  # its type; "" for none
    supported: bool  # "y": the client could bind, and thinks that we cannot
    authorization: str  # "" for itself

    @classmethod
    def read(cls, data: bytes) -> "tuple[Gs2Header, bytes]":
        """Return the header and what follows it. Raises SaslError."""
        parts = data.split(b",", 2)
        if len(parts) != 3:
            raise SaslError("Invalid GS2 header.")
        flag, identity, rest = parts
        match = _TYPE.match(flag)
        if match is None and flag not in (b"n", b"y"):
            raise SaslError("Invalid GS2 header.")
        authorization = ""
        if identity:
            if not identity.startswith(b"a="):
                raise SaslError("Invalid GS2 header.")
            authorization = saslname(identity[2:])  # some clients send "a=" for no identity
        raw = data[: len(data) - len(rest)]
        binding = match[1].decode() if match else ""
        return cls(raw, binding, flag == b"y", authorization), rest


def saslname(data: bytes) -> str:
    """Return the name of an escaped one: "=2C" is a comma, "=3D" an equals sign."""
    if len(data) > 3 * MAX_NAME or b"\0" in data or b"," in data or _BAD_ESCAPE.search(data):
        raise SaslError("Invalid name.")
    return text(data.replace(b"=2C", b",").replace(b"=3D", b"="), "The name")
