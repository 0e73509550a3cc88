"""Driving the parser in tests: whole, octet by octet, or cut anywhere."""

from collections.abc import Iterable

from restante.wire.imap.commands import Command
from restante.wire.imap.events import AppendChunk, Event, ProtocolError
from restante.wire.imap.limits import AUTHENTICATED, Limits
from restante.wire.imap.parser import ImapParser


def events_of(pieces: Iterable[bytes], limits: Limits = AUTHENTICATED) -> list[Event]:
    """Feed the pieces and return all events, neighbouring message chunks joined."""
    parser = ImapParser(limits)
    out: list[Event] = []
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, AppendChunk) and out and isinstance(out[-1], AppendChunk):
                out[-1] = AppendChunk(out[-1].data + event.data)
            else:
                out.append(event)
    return out


def command_of(line: bytes, limits: Limits = AUTHENTICATED) -> Command:
    """Parse one command, CRLF added."""
    (event,) = events_of([line + b"\r\n"], limits)
    assert isinstance(event, Command), event
    return event


def error_of(line: bytes, limits: Limits = AUTHENTICATED) -> ProtocolError:
    """Parse one wrong command, CRLF added."""
    (event,) = events_of([line + b"\r\n"], limits)
    assert isinstance(event, ProtocolError), event
    return event
