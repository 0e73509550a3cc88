"""Input meant to hurt: bounded memory, bounded time, never data of one command as another."""

import tracemalloc
from dataclasses import replace

import pytest

from restante.wire.imap.commands import Login, Noop
from restante.wire.imap.events import Event, LiteralRequest, ProtocolError
from restante.wire.imap.limits import AUTHENTICATED, PRE_AUTH, Limits
from restante.wire.imap.parser import ImapParser
from tests.unit.wire.imap.streams import command_of, error_of, events_of

BOTH = pytest.mark.parametrize("limits", [PRE_AUTH, AUTHENTICATED], ids=["before", "after"])


def flood(stream: bytes, limits: Limits) -> tuple[list[Event], int]:
    """Feed in pieces as a socket would; return the events and the peak of memory kept, octets."""
    parser = ImapParser(limits)
    pieces = [stream[at : at + 4096] for at in range(0, len(stream), 4096)]
    events: list[Event] = []
    tracemalloc.start()
    for piece in pieces:
        events.extend(parser.feed(piece))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return events, peak


@BOTH
@pytest.mark.parametrize(
    "mark",
    [
        b"{2147483647}",
        b"{2147483648+}",
        b"{18446744073709551616+}",
        b"{" + b"9" * 50 + b"+}",
        b"{" + b"9" * 50 + b"}",
        b"{" + b"9" * 5000 + b"+}",
        b"{8193}",
    ],
)
def test_a_declared_size_is_never_allocated(mark: bytes, limits: Limits) -> None:
    limits = replace(limits, literal=8192)
    events, peak = flood(b"a LOGIN " + mark + b"\r\n", limits)
    (error,) = events
    assert isinstance(error, ProtocolError)
    assert error.tag == "a"
    assert error.fatal is mark.endswith(b"+}")
    assert peak < 100_000


@BOTH
@pytest.mark.parametrize(
    "mark", [b"{-1}", b"{}", b"{+}", b"{1", b"{1}x", b"{1} ", b"{ 1}", b"{1-}"]
)
def test_what_is_no_literal_is_bad(mark: bytes, limits: Limits) -> None:
    events = events_of([b"a LOGIN f " + mark + b"\r\nz NOOP\r\n"], limits)
    assert isinstance(events[0], ProtocolError)
    assert events[1:] == [Noop("z")]


def test_an_empty_literal_is_one() -> None:
    assert events_of([b"a LOGIN f {0}\r\n\r\n"], PRE_AUTH) == [
        LiteralRequest("a", 0),
        Login("a", b"f", b""),
    ]


def test_literals_of_one_command_are_bounded_together() -> None:
    limits = replace(PRE_AUTH, literals=100)
    events = events_of([b"a LOGIN {60+}\r\n" + b"u" * 60 + b" {41+}\r\n"], limits)
    (error,) = events
    assert isinstance(error, ProtocolError)
    assert error.fatal


@BOTH
@pytest.mark.parametrize(
    "stream",
    [
        b"a NOOP " + b"(" * (1 << 20),
        b"x" * (1 << 20),
        b"a" * 65536 + b" NOOP ",
        b"a SEARCH " + b"NOT " * (1 << 18),
        b'a LOGIN "' + b"\\" * (1 << 20),
        b"a " + b" " * (1 << 20),
        b"a {1+}\r\nx" * (1 << 17),
    ],
)
def test_a_mebibyte_without_an_end(stream: bytes, limits: Limits) -> None:
    """CVE-2026-27857 and the long line."""
    events, peak = flood(stream, limits)
    assert peak < (1 << 20)
    assert all(isinstance(event, ProtocolError) for event in events)
    assert events
    if limits is PRE_AUTH:
        last = events[-1]
        assert isinstance(last, ProtocolError)
        assert last.fatal


def test_before_login_at_most_one_list_is_open() -> None:
    assert command_of(b'a ID ("a" "b")', PRE_AUTH)
    assert error_of(b"a SEARCH ((ALL))", PRE_AUTH).text == "lists are nested too deeply"
    assert error_of(b"a SEARCH " + b"(" * 33 + b"ALL" + b")" * 33).status == "BAD"


def test_a_tag_is_bounded_and_not_echoed() -> None:
    assert error_of(b"t" * 201 + b" NOOP").tag is None
    assert error_of(b"t" * 60000 + b" NOOP").tag is None
    assert command_of(b"t" * 200 + b" NOOP") == Noop("t" * 200)


@pytest.mark.parametrize(
    "line",
    [
        b'a LOGIN "a\0b" x',
        b"a LOGIN a\0b x",
        b"a LOGIN {3+}\r\na\0b x",
        b'a LOGIN "a\rb" x',
        b"a LOGIN a\rb x",
        b"a\0 NOOP",
        b"a NOOP\0",
        b"a NOOP\r",
    ],
)
def test_nul_and_cr_are_bad(line: bytes) -> None:
    """CVE-2019-11500."""
    assert error_of(line).status == "BAD"


def test_a_long_line_is_read_past_with_its_literal() -> None:
    """What a refused command carries is not the next command."""
    stream = b"a SEARCH " + b"x" * 70000 + b" {8+}\r\nq NOOP\r\n\r\nz NOOP\r\n"
    for size in (1 << 20, 4096, 7):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert events_of(pieces) == [ProtocolError("a", "line is too long"), Noop("z")]


def test_a_refused_literal_is_read_past_to_the_end_of_its_command() -> None:
    stream = b"a LOGIN {70000+}\r\n" + b"q NOOP\r\n" * 8750 + b" {8+}\r\nq NOOP\r\n\r\nz NOOP\r\n"
    for size in (1 << 20, 4096, 7):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        error, last = events_of(pieces)
        assert isinstance(error, ProtocolError)
        assert error.code == "TOOBIG"
        assert last == Noop("z")


def test_a_huge_literal_behind_a_skipped_one_ends_the_connection() -> None:
    stream = b"a LOGIN {70000+}\r\n" + b"x" * 70000 + b" {99999999999+}\r\nz NOOP\r\n"
    events = events_of([stream])
    assert [isinstance(e, ProtocolError) and e.fatal for e in events] == [False, True]


@pytest.mark.parametrize(
    "keys",
    [
        b"NOT " * 16000 + b"ALL",
        b"OR ALL " * 9000 + b"ALL",
        b"ALL " * 16000 + b"ALL",
        b"(" * 30 + b"NOT " * 140 + b"ALL" + b")" * 30,
    ],
)
def test_searches_are_bounded_in_depth_and_size(keys: bytes) -> None:
    error = error_of(b"a SEARCH " + keys)
    assert (error.status, error.code) == ("NO", "LIMIT")


def test_a_deep_but_honest_search_works() -> None:
    command_of(b"a SEARCH " + b"OR FROM a " * 100 + b"FROM b")


def test_fetch_cannot_ask_without_bound() -> None:
    items = b" ".join(b"BODY[]<%d.1>" % n for n in range(3000))
    assert error_of(b"a FETCH 1:* (" + items + b")").text == "too many items"
    fields = b" ".join(b"X-%d" % n for n in range(3000))
    assert error_of(b"a FETCH 1:* BODY[HEADER.FIELDS (" + fields + b")]").text == "too many fields"
    assert error_of(b"a FETCH 1 BODY[" + b"1." * 200 + b"1]").text == "part number is too deep"


def test_keywords_are_bounded() -> None:
    many = b" ".join(b"k%d" % n for n in range(65))
    assert error_of(b"a STORE 1 FLAGS (" + many + b")").code == "LIMIT"
    assert error_of(b"a STORE 1 FLAGS " + b"k" * 101).code == "LIMIT"


def test_sets_of_a_whole_line() -> None:
    command_of(b"a UID FETCH 1:4294967295" + b",1" * 30000 + b" FLAGS")
    assert error_of(b"a UID FETCH 1:4294967296 FLAGS").text == "bad sequence set"


def test_no_error_repeats_what_was_sent() -> None:
    for line in (b"a LOGIN fred hunter2 hunter2", b'a LOGIN "hunter2', b"a hunter2 hunter2"):
        assert "hunter2" not in error_of(line).text
