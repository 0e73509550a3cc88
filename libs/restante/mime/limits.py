"""The bounds of the parser. Each is far beyond honest mail and far below what hurts."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one parse; what lies beyond them stays opaque."""

    depth: int = 100  # nested multiparts and messages; recursion is one frame a level
    parts: int = 2000  # of the whole message
    params: int = 256  # of one structured field, continuations counted one by one
    addresses: int = 4096  # of one field
    header: int = 1 << 20  # bytes of one header that are looked at
    value: int = 1 << 18  # bytes of one field that are looked at
    embedded_header: int = 1 << 22  # bytes of all part headers together


DEFAULT: Final = Limits()
