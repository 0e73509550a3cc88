"""Messages on the way out: what a client reads back is what was stored."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.pop3 import error, listing, message_chunks, message_reply, ok, top_of


def unstuff(reply: bytes) -> bytes:
    """Read a multi-line reply as a strict client does (RFC 1939 section 3)."""
    lines: list[bytes] = []
    while True:
        line, end, reply = reply.partition(b"\r\n")
        assert end, "no terminator"
        if line == b".":
            assert reply == b"", "bytes after the terminator"
            return b"".join(lines)
        lines.append((line[1:] if line.startswith(b".") else line) + b"\r\n")


def normal(wire: bytes) -> bytes:
    text = re.sub(rb"\r(?!\n)", b"\r\n", wire)
    return text if not text or text.endswith(b"\r\n") else text + b"\r\n"


MESSAGES = [
    b"",
    b"A: b\r\n\r\n",
    b".\r\n",
    b"..\r\n.\r\n",
    b"A: b\r\n\r\n.\r\n.x\r\n\r\n.\r\n",
    b"no end",
    b"a\r.\r\nb\r\n",
    b"a\r\r\n.\r\n",
    b".",
    b"\r\n.\r\n.",
]


@pytest.mark.parametrize("wire", MESSAGES)
def test_every_window_size(wire: bytes) -> None:
    for size in range(1, len(wire) + 2):
        assert unstuff(b"".join(message_chunks(wire, size))) == normal(wire), size


@given(
    st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r", b"\0", b"\r\n.\r\n"]), max_size=40),
    st.integers(1, 9),
)
def test_round_trip(pieces: list[bytes], size: int) -> None:
    wire = b"".join(pieces)
    assert unstuff(b"".join(message_chunks(wire, size))) == normal(wire)


def test_a_small_plain_message_is_not_copied() -> None:
    wire = b"Subject: x\r\n\r\nhello\r\n"
    assert next(iter(message_chunks(wire))) is wire


def test_a_large_message_comes_in_bounded_chunks() -> None:
    wire = (b"x" * 70 + b"\r\n") * 10_000
    assert max(map(len, message_chunks(wire))) <= 64 * 1024 + 2


def test_status_lines() -> None:
    assert ok() == b"+OK\r\n"
    assert ok("2 320") == b"+OK 2 320\r\n"
    assert error("Nope.") == b"-ERR Nope.\r\n"
    assert error("Later.", "SYS/TEMP") == b"-ERR [SYS/TEMP] Later.\r\n"
    assert listing("", ["1 a", "2 b"]) == b"+OK\r\n1 a\r\n2 b\r\n.\r\n"
    assert listing("none", []) == b"+OK none\r\n.\r\n"
    assert message_reply("4 octets", b".a\r\n") == b"+OK 4 octets\r\n..a\r\n.\r\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(0, b"A: b\r\n\r\n"), (1, b"A: b\r\n\r\n1\r\n"), (2, b"A: b\r\n\r\n1\r\n\r\n")],
)
def test_top(lines: int, expected: bytes) -> None:
    assert top_of(b"A: b\r\n\r\n1\r\n\r\n3", lines) == expected


def test_top_at_the_edges() -> None:
    assert top_of(b"A: b\r\n\r\n1\r\n3", 9) == b"A: b\r\n\r\n1\r\n3"
    assert top_of(b"A: b\r\n", 0) == b"A: b\r\n"
    assert top_of(b"\r\nbody\r\nmore\r\n", 1) == b"\r\nbody\r\n"
    assert top_of(b"", 3) == b""
