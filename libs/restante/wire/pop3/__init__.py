"""POP3 as bytes: commands in, replies out (RFC 1939, 2449, 5034, 6856). No sockets."""

from restante.wire.pop3.commands import BadLine, Command, CommandParser, RawLine
from restante.wire.pop3.replies import (
    TERMINATOR,
    error,
    listing,
    message_chunks,
    message_reply,
    ok,
    top_of,
)

__all__ = [
    "TERMINATOR",
    "BadLine",
    "Command",
    "CommandParser",
    "RawLine",
    "error",
    "listing",
    "message_chunks",
    "message_reply",
    "ok",
    "top_of",
]
