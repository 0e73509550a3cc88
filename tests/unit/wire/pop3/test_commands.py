"""POP3 command lines at every split point, and lines that are none."""

import pytest

from restante.wire.pop3 import BadLine, Command, CommandParser, RawLine
from restante.wire.pop3.commands import Event

STREAM = (
    b"capa\r\nUSER fred@example.test\r\nPASS  two  blanks \r\nTOP 1 20\nbad\0line\r\n"
    + b"X" * 9000
    + b"\r\nRETR \xff\r\n\r\n 1\r\nQUIT\r\n"
)
EVENTS = [
    Command("CAPA"),
    Command("USER", "fred@example.test", "fred@example.test"),
    Command("PASS", "two  blanks", " two  blanks "),
    Command("TOP", "1 20", "1 20"),
    BadLine("Invalid command."),
    BadLine("Line is too long."),
    BadLine("Text must be UTF-8."),
    BadLine("Invalid command."),
    BadLine("Invalid command."),
    Command("QUIT"),
]


def events_of(parser: CommandParser, *chunks: bytes) -> list[Event]:
    out = []
    for chunk in chunks:
        parser.feed(chunk)
        while (event := parser.next_event()) is not None:
            out.append(event)
    return out


def test_split_at_every_point() -> None:
    for at in range(len(STREAM) + 1):
        assert events_of(CommandParser(), STREAM[:at], STREAM[at:]) == EVENTS, at


def test_octet_by_octet() -> None:
    chunks = (STREAM[i : i + 1] for i in range(len(STREAM)))
    assert events_of(CommandParser(), *chunks) == EVENTS


@pytest.mark.parametrize(
    "line", [b"USER a\0b", b"USER a\rb", b"USER a\x1bb", "USER a\u2028".encode()]
)
def test_controls_never_reach_a_handler(line: bytes) -> None:
    assert isinstance(events_of(CommandParser(), line + b"\r\n")[0], BadLine)


def test_raw_lines_of_an_exchange() -> None:
    parser = CommandParser()
    parser.raw_lines = True
    assert events_of(parser, b"AGZyZWQ=\r\n*\r\n") == [RawLine(b"AGZyZWQ="), RawLine(b"*")]


def test_discard() -> None:
    parser = CommandParser()
    parser.feed(b"STLS\r\nUSER evil\r\nPASS")
    assert parser.next_event() == Command("STLS")
    parser.discard()
    assert parser.held == 0
    assert events_of(parser, b"NOOP\r\n") == [Command("NOOP")]
