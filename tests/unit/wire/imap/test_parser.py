"""The parser's stream: literals, APPEND, continuation lines, mode switches, limits."""

from dataclasses import replace

import pytest

from restante.model import Flag
from restante.wire.imap.commands import Append, Idle, Login, Noop, StartTls
from restante.wire.imap.events import (
    AppendChunk,
    AppendEnd,
    AppendStart,
    ContinuationLine,
    Event,
    LiteralRequest,
    ProtocolError,
)
from restante.wire.imap.limits import AUTHENTICATED, PRE_AUTH
from restante.wire.imap.parser import ImapParser
from tests.unit.wire.imap.streams import events_of

NOOP = b"z NOOP\r\n"
Z = Noop("z")


def every_cut(stream: bytes) -> list[Event]:
    """Return the events, having checked that no cut of the stream changes them."""
    whole = events_of([stream])
    for cut in range(1, len(stream)):
        assert events_of([stream[:cut], stream[cut:]]) == whole, cut
    assert events_of([stream[i : i + 1] for i in range(len(stream))]) == whole
    return whole


APPENDS = [
    (b"a APPEND x {4+}\r\nab\r\n\r\n", Append("a", b"x", 4), b"ab\r\n"),
    (b"a APPEND x {0+}\r\n\r\n", Append("a", b"x", 0), b""),
    (
        b'a append {1+}\r\nx (\\Seen work) "17-Jul-1996 02:44:25 -0700" {2+}\r\n\xff\0\r\n',
        Append("a", b"x", 2, Flag.SEEN, ("work",), 837596665),
        b"\xff\0",
    ),
    (b"a APPEND x () ~{1+}\r\n\0\r\n", Append("a", b"x", 1, binary=True), b"\0"),
    (
        b"a APPEND x UTF8 (~{1+}\r\nm)\r\n",
        Append("a", b"x", 1, binary=True, utf8=True),
        b"m",
    ),
    (b"a APPEND x {9+}\r\nq NOOP\r\n\n\r\n", Append("a", b"x", 9), b"q NOOP\r\n\n"),
]


@pytest.mark.parametrize(("stream", "command", "message"), APPENDS, ids=str)
def test_append_streams_its_message(stream: bytes, command: Append, message: bytes) -> None:
    body = [AppendChunk(message)] if message else []
    wanted = [AppendStart(command, False), *body, AppendEnd("a"), Z]
    assert every_cut(stream + NOOP) == wanted


def test_append_with_a_synchronising_literal() -> None:
    parser = ImapParser(AUTHENTICATED)
    assert list(parser.feed(b"a APPEND x {3}\r\n")) == [AppendStart(Append("a", b"x", 3), True)]
    assert list(parser.feed(b"abc\r\n")) == [AppendChunk(b"abc"), AppendEnd("a")]


def test_append_is_never_collected() -> None:
    parser = ImapParser(AUTHENTICATED)
    list(parser.feed(b"a APPEND x {1000000+}\r\n"))
    for _ in range(1000):
        assert list(parser.feed(b"x" * 1000)) == [AppendChunk(b"x" * 1000)]
        assert len(parser._buffer) == 0
    assert list(parser.feed(b"\r\n")) == [AppendEnd("a")]


def test_refusing_a_synchronising_append_awaits_no_message() -> None:
    parser = ImapParser(AUTHENTICATED)
    (start,) = parser.feed(b"a APPEND x {3}\r\n")
    assert isinstance(start, AppendStart)
    parser.refuse_append()
    assert list(parser.feed(NOOP)) == [Z]


def test_refusing_a_non_synchronising_append_reads_past_it() -> None:
    for size in (1, 5, 1000):
        parser = ImapParser(AUTHENTICATED)
        stream = b"a APPEND x {9+}\r\nb NOOP\r\n\n\r\n" + NOOP
        seen: list[Event] = []
        for at in range(0, len(stream), size):
            for event in parser.feed(stream[at : at + size]):
                seen.append(event)
                if isinstance(event, AppendStart):
                    parser.refuse_append()
        assert seen == [AppendStart(Append("a", b"x", 9), False), Z]


@pytest.mark.parametrize(
    "tail", [b" x\r\n", b")\r\n", b" {3+}\r\nabc\r\n", b" (\\Seen) {1+}\r\nb\r\n"]
)
def test_what_follows_the_message_is_refused_as_a_whole(tail: bytes) -> None:
    events = every_cut(b"a APPEND x {1+}\r\nm" + tail + NOOP)
    assert events[-2:] == [ProtocolError("a", "unexpected argument"), Z]


@pytest.mark.parametrize(
    "head",
    [
        b"a APPEND x y {5+}\r\n",
        b"a APPEND x (\\Frob) {5+}\r\n",
        b'a APPEND x "yesterday" {5+}\r\n',
        b"a APPEND x{5+}\r\n",
    ],
)
def test_a_wrong_append_is_read_past(head: bytes) -> None:
    events = every_cut(head + b"b X\r\n\r\n" + NOOP)
    error, last = events
    assert isinstance(error, ProtocolError)
    assert (error.tag, error.fatal) == ("a", False)
    assert last == Z


def test_a_wrong_synchronising_append_gets_its_answer_at_once() -> None:
    events = every_cut(b"a APPEND x (\\Frob) {5}\r\n" + NOOP)
    assert events == [ProtocolError("a", "unknown system flag"), Z]


def test_a_message_that_is_too_large() -> None:
    limits = replace(AUTHENTICATED, append=10)
    error = ProtocolError("a", "message is too large", status="NO", code="TOOBIG")
    assert events_of([b"a APPEND x {11}\r\n" + NOOP], limits) == [error, Z]
    stream = b"a APPEND x {11+}\r\n" + b"m" * 11 + b"\r\n" + NOOP
    assert events_of([stream], limits) == [error, Z]
    (fatal,) = events_of([b"a APPEND x {11+}\r\n"], replace(limits, skip=10))
    assert fatal == replace(error, fatal=True)


def test_literal_minus_bounds_what_is_sent_unasked() -> None:
    limits = replace(AUTHENTICATED, literal_minus=True)
    head = b"a APPEND x {4097+}\r\n" + b"m" * 4097 + b"\r\n"
    error, last = events_of([head + NOOP], limits)
    assert isinstance(error, ProtocolError)
    assert last == Z
    assert isinstance(events_of([b"a APPEND x {4096+}\r\n"], limits)[0], AppendStart)
    assert isinstance(events_of([b"a APPEND x {4097}\r\n"], limits)[0], AppendStart)


def test_idle_and_authenticate_take_lines_on_demand() -> None:
    parser = ImapParser()
    seen: list[Event] = []
    for event in parser.feed(b"a AUTHENTICATE PLAIN\r\nAGEAYg==\r\nb IDLE\r\nDONE\nz NOOP\r\n"):
        seen.append(event)
        if len(seen) in (1, 3):
            parser.expect_line()
    assert seen[1] == ContinuationLine(b"AGEAYg==")
    assert seen[2:] == [Idle("b"), ContinuationLine(b"DONE"), Z]


def test_a_literal_mark_in_a_continuation_line_is_text() -> None:
    parser = ImapParser()
    parser.expect_line()
    assert list(parser.feed(b"{5}\r\n" + NOOP)) == [ContinuationLine(b"{5}"), Z]


def test_a_continuation_line_is_bounded() -> None:
    parser = ImapParser()
    parser.expect_line()
    (error,) = parser.feed(b"x" * 9000)
    assert isinstance(error, ProtocolError)
    assert error.fatal


def test_starttls_drops_what_was_buffered() -> None:
    """CVE-2021-33515: nothing sent in clear is read after the handshake."""
    parser = ImapParser()
    seen: list[Event] = []
    for event in parser.feed(b"a STARTTLS\r\nb LOGIN x y\r\nc NO"):
        seen.append(event)
        if isinstance(event, StartTls):
            parser.reset()
    assert seen == [StartTls("a")]
    assert list(parser.feed(NOOP)) == [Z]


def test_reset_inside_a_literal_forgets_it() -> None:
    parser = ImapParser()
    list(parser.feed(b"a LOGIN {10}\r\nabc"))
    parser.reset()
    assert list(parser.feed(NOOP)) == [Z]


def test_breaking_off_keeps_the_rest() -> None:
    parser = ImapParser()
    for event in parser.feed(b"a NOOP\r\nb NOOP\r\nc NOO"):
        assert event == Noop("a")
        break
    assert parser.next_event() == Noop("b")
    assert parser.next_event() is None
    assert list(parser.feed(b"P\r\n")) == [Noop("c")]


def test_raised_limits_hold_for_what_is_buffered() -> None:
    parser = ImapParser(PRE_AUTH)
    seen: list[Event] = []
    for event in parser.feed(b"a LOGIN x y\r\nb APPEND x {3+}\r\nabc\r\n"):
        seen.append(event)
        if isinstance(event, Login):
            parser.limits = AUTHENTICATED
    assert seen[1:] == [
        AppendStart(Append("b", b"x", 3), False),
        AppendChunk(b"abc"),
        AppendEnd("b"),
    ]


def test_blank_lines_between_commands_are_nothing() -> None:
    assert every_cut(b"\r\n\r\n\n" + NOOP) == [Z]


def test_bare_lf_can_be_refused() -> None:
    limits = replace(AUTHENTICATED, bare_lf=False)
    error, last = events_of([b"a NOOP\n" + NOOP], limits)
    assert error == ProtocolError("a", "lines end with CR LF")
    assert last == Z


def test_errors_in_a_row_end_the_connection() -> None:
    parser = ImapParser()
    seen = [event for _ in range(10) for event in parser.feed(b"a FROB\r\n")]
    assert len(seen) == PRE_AUTH.errors
    assert [isinstance(e, ProtocolError) and e.fatal for e in seen] == [False] * 4 + [True]
    assert list(parser.feed(NOOP)) == []
    assert parser.next_event() is None


def test_a_good_command_forgives() -> None:
    parser = ImapParser()
    for _ in range(20):
        (error,) = parser.feed(b"a FROB\r\n")
        assert isinstance(error, ProtocolError)
        assert not error.fatal
        assert list(parser.feed(NOOP)) == [Z]


def test_literals_ask_only_when_synchronising() -> None:
    events = every_cut(b"a LOGIN {2}\r\nab {2+}\r\ncd\r\n")
    assert events == [LiteralRequest("a", 2), Login("a", b"ab", b"cd")]
