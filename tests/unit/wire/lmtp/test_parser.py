"""The whole receiving side at every split point: commands, DATA, BDAT in one stream."""

from restante.model import Address
from restante.wire.lmtp import (
    BadCommand,
    Bdat,
    ChunkEnd,
    Content,
    Data,
    DataEnd,
    Event,
    Lhlo,
    LmtpParser,
    Mail,
    Noop,
    Quit,
    Rcpt,
    StartTls,
)

FRED = Address("fred", "example.test")
STREAM = (
    b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<fred@example.test>\r\nDATA\r\n"
    b"A: b\r\n\r\n..dot\r\n.\r\n"
    b"MAIL FROM:<>\r\nBDAT 5\r\na\nb\r\nBDAT 3 LAST\r\n.\r\nBDAT 0 LAST\r\n"
    b"NOOP\nDATA\r\n.\r\nQUIT\r\n"
)
EVENTS: list[Event] = [
    Lhlo("x"),
    Mail(None),
    Rcpt(FRED),
    Data(),
    Content(b"A: b\r\n\r\n.dot\r\n"),
    DataEnd(False),
    Mail(None),
    Bdat(5, False),
    Content(b"a\nb\r\n"),
    ChunkEnd(False),
    Bdat(3, True),
    Content(b".\r\n"),
    ChunkEnd(True),
    Bdat(0, True),
    ChunkEnd(True),
    BadCommand(500, "5.5.2", "A line ends with CR LF"),
    Data(),
    DataEnd(False),
    Quit(),
]


def events_of(*chunks: bytes) -> list[Event]:
    """Accept every DATA, and join neighbouring contents."""
    parser = LmtpParser()
    out: list[Event] = []
    for chunk in chunks:
        parser.feed(chunk)
        while (event := parser.next_event()) is not None:
            if isinstance(event, Data):
                parser.start_data()
            if isinstance(event, Content) and out and isinstance(out[-1], Content):
                out[-1] = Content(out[-1].data + event.data)
            else:
                out.append(event)
    assert not parser.in_message
    assert parser.held == 0
    return out


def test_split_at_every_point() -> None:
    for at in range(len(STREAM) + 1):
        assert events_of(STREAM[:at], STREAM[at:]) == EVENTS, at


def test_octet_by_octet() -> None:
    assert events_of(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == EVENTS


def test_a_refused_data_leaves_command_mode() -> None:
    parser = LmtpParser()
    parser.feed(b"DATA\r\nQUIT\r\n")
    assert parser.next_event() == Data()
    assert parser.next_event() == Quit()


def test_a_declared_size_is_never_allocated() -> None:
    parser = LmtpParser()
    parser.feed(b"BDAT 99999999999999999999\r\n" + b"x" * 1000)
    assert parser.next_event() == Bdat(99999999999999999999, False)
    assert parser.next_event() == Content(b"x" * 1000)
    assert parser.next_event() is None
    assert parser.held == 0


def test_an_endless_line_is_not_held() -> None:
    parser = LmtpParser()
    replies = []
    for _ in range(100):
        parser.feed(b"A" * 10_000)
        while (event := parser.next_event()) is not None:
            replies.append(event)
    assert replies == [BadCommand(500, "5.5.2", "Line is too long")]
    assert parser.held == 0


def test_discard_for_tls() -> None:
    parser = LmtpParser()
    parser.feed(b"STARTTLS\r\nMAIL FROM:<evil@x>\r\nNO")
    assert parser.next_event() == StartTls()
    parser.discard()
    parser.feed(b"NOOP\r\n")
    assert parser.next_event() == Noop()
