"""Server sides of SASL mechanisms (RFC 4422), shared by IMAP AUTHENTICATE and POP3 AUTH.

exchange.py is the door: one Exchange per attempt. The other files hold one mechanism each.
"""

from restante.wire.sasl.base import (
    Challenge,
    Credentials,
    SaslError,
    Scene,
    ScramQuery,
    Step,
)
from restante.wire.sasl.exchange import MECHANISMS, Exchange, offered, takes_passwords

__all__ = [
    "MECHANISMS",
    "Challenge",
    "Credentials",
    "Exchange",
    "SaslError",
    "Scene",
    "ScramQuery",
    "Step",
    "offered",
    "takes_passwords",
]
