"""LMTP as bytes: commands and message data in, replies out (RFC 2033, 5321). No sockets."""

from restante.wire.lmtp.commands import (
    BadCommand,
    Bdat,
    Command,
    Data,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    Xclient,
    is_hello,
)
from restante.wire.lmtp.parser import ChunkEnd, Content, DataEnd, Event, LmtpParser
from restante.wire.lmtp.replies import Reply

__all__ = [
    "BadCommand",
    "Bdat",
    "ChunkEnd",
    "Command",
    "Content",
    "Data",
    "DataEnd",
    "Event",
    "Lhlo",
    "LmtpParser",
    "Mail",
    "Noop",
    "Quit",
    "Rcpt",
    "Reply",
    "Rset",
    "StartTls",
    "Vrfy",
    "Xclient",
    "is_hello",
]
