"""Bounds of what a client may send, checked before anything is kept."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """All sizes in octets."""

    line: int  # all text of one command outside literals, line ends included
    literal: int  # one literal other than an APPEND message
    literals: int  # all such literals of one command
    append: int  # one APPEND message; 0 refuses APPEND
    nesting: int  # open parentheses
    errors: int  # bad commands in a row before the connection ends
    skip: int  # a refused non-synchronising literal is read past up to this size, else BYE
    literal_minus: bool = False  # LITERAL-: non-synchronising only up to 4096 (RFC 7888)
    bare_lf: bool = True  # LF alone ends a line


PRE_AUTH: Final = Limits(
    line=8192, literal=8192, literals=16384, append=0, nesting=1, errors=5, skip=0
)

AUTHENTICATED: Final = Limits(
    line=65536,
    literal=65536,
    literals=262144,
    append=64 << 20,
    nesting=32,
    errors=20,
    skip=64 << 20,
)
