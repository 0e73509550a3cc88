"""Lines out of any chunking, bounded in what is held."""

import pytest

from restante.wire.scanner import Line, LineScanner, LineTooLong


def lines_of(scanner: LineScanner, *chunks: bytes) -> list[Line | str]:
    out: list[Line | str] = []
    for chunk in chunks:
        scanner.feed(chunk)
        while True:
            try:
                line = scanner.next_line()
            except LineTooLong:
                out.append("too long")
                continue
            if line is None:
                break
            out.append(line)
    return out


STREAM = b"one\r\n\r\ntwo\n\nA" + b"b" * 30 + b"\r\nthree\r\r\nlast\r\n"
WHOLE: list[Line | str] = [
    Line(b"one", True),
    Line(b"", True),
    Line(b"two", False),
    Line(b"", False),
    "too long",
    Line(b"three\r", True),
    Line(b"last", True),
]


def test_split_at_every_point() -> None:
    for at in range(len(STREAM) + 1):
        assert lines_of(LineScanner(20), STREAM[:at], STREAM[at:]) == WHOLE, at


def test_octet_by_octet() -> None:
    scanner = LineScanner(20)
    assert lines_of(scanner, *(STREAM[i : i + 1] for i in range(len(STREAM)))) == WHOLE


def test_a_line_of_exactly_the_limit_passes() -> None:
    assert lines_of(LineScanner(7), b"12345\r\n123456\r\n") == [Line(b"12345", True), "too long"]


def test_an_endless_line_is_told_once_and_not_held() -> None:
    scanner = LineScanner(100)
    told = lines_of(scanner, *[b"x" * 1000] * 1000)
    assert told == ["too long"]
    assert scanner.held == 0
    assert lines_of(scanner, b"x\r\nNOOP\r\n") == [Line(b"NOOP", True)]


def test_raw_bytes_between_lines() -> None:
    scanner = LineScanner(100)
    scanner.feed(b"a\r\n12345b\r\nrest")
    assert scanner.next_line() == Line(b"a", True)
    assert scanner.take(3) == b"123"
    assert scanner.take(2) == b"45"
    assert scanner.next_line() == Line(b"b", True)
    assert scanner.take() == b"rest"
    assert scanner.take(5) == b""
    scanner.give_back(b"c\r")
    scanner.feed(b"\nd\r\n")
    assert scanner.next_line() == Line(b"c", True)
    assert scanner.next_line() == Line(b"d", True)
    assert scanner.next_line() is None


def test_discard_forgets_a_half_line_and_a_long_one() -> None:
    scanner = LineScanner(10)
    scanner.feed(b"x" * 20)
    with pytest.raises(LineTooLong):
        scanner.next_line()
    scanner.discard()
    scanner.feed(b"NOOP\r\n")
    assert scanner.next_line() == Line(b"NOOP", True)
