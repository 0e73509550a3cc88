r"""FETCH: items, sections, partial ranges, implicit \Seen, UIDs, CONDSTORE."""

import re

import pytest

from tests.services.imap.samples import INNER, NESTED, PLAIN, numbered
from tests.services.imap.server import Server
from tests.services.imap.wire import Wire, text

HEADER, BODY = (part for part in PLAIN.partition(b"\r\n\r\n")[::2])
HEADER += b"\r\n\r\n"


def section(wire: Wire, item: str, message: int = 1) -> bytes | None:
    """Fetch one BODY.PEEK[...] item and return its octets."""
    (line,) = wire.ok(f"FETCH {message} {item}")
    if line.endswith(b" NIL)"):
        return None
    found = re.search(rb"\{(\d+)\}\r\n", line)
    assert found is not None, line
    start = found.end()
    return line[start : start + int(found[1])]


@pytest.fixture
def wire(server: Server) -> Wire:
    server.deliver(PLAIN)
    server.deliver(NESTED)
    return server.select()


def test_flags_size_date_uid(wire: Wire) -> None:
    (line,) = wire.ok("FETCH 1 (FLAGS RFC822.SIZE INTERNALDATE UID)")
    assert re.fullmatch(
        rb"\* 1 FETCH \(UID 1 FLAGS \(\\Recent\) "
        rb'INTERNALDATE "[ \d]\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d \+0000" '
        rb"RFC822.SIZE %d\)" % len(PLAIN),
        line,
    )


def test_macros(wire: Wire) -> None:
    assert wire.ok("FETCH 1 FAST")[0].count(b"RFC822.SIZE") == 1
    assert b"ENVELOPE (" in wire.ok("FETCH 1 ALL")[0]
    assert b" BODY (" in wire.ok("FETCH 1 FULL")[0]


def test_envelope(wire: Wire) -> None:
    (line,) = wire.ok("FETCH 1 ENVELOPE")
    ann = b'(("Ann" NIL "ann" "example.test"))'
    assert line == (
        b'* 1 FETCH (ENVELOPE ("Mon, 3 Feb 2025 10:00:00 +0100" "Lunch" '
        + ann
        + b" "
        + ann
        + b" "
        + ann
        + b' ((NIL NIL "joe" "example.test")) NIL NIL NIL "<1@example.test>"))'
    )


def test_bodystructure(wire: Wire) -> None:
    (line,) = wire.ok("FETCH 2 BODYSTRUCTURE")
    assert b'("text" "plain" ("charset" "utf-8") nil nil "7bit" 10 ' in line.lower()
    assert b'("message" "rfc822"' in line.lower()
    assert b'"mixed" ("boundary" "b")' in line.lower()
    (line,) = wire.ok("FETCH 2 BODY")
    assert line.lower().endswith(b' "mixed"))')


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("BODY.PEEK[]", PLAIN),
        ("RFC822.HEADER", HEADER),
        ("BODY.PEEK[HEADER]", HEADER),
        ("BODY.PEEK[TEXT]", BODY),
        ("BODY.PEEK[1]", BODY),
        ("BODY.PEEK[1.MIME]", HEADER),
        ("BODY.PEEK[2]", None),
        ("BODY.PEEK[1.1]", None),
        ("BODY.PEEK[1.HEADER]", None),
        ("BODY.PEEK[]<0.10>", PLAIN[:10]),
        ("BODY.PEEK[]<5.10>", PLAIN[5:15]),
        ("BODY.PEEK[]<99999.10>", b""),
        ("BODY.PEEK[TEXT]<3.100>", BODY[3:]),
        ("BODY.PEEK[HEADER.FIELDS (SUBJECT)]", b"Subject: Lunch\r\n\r\n"),
        (
            "BODY.PEEK[HEADER.FIELDS (to From)]",
            b"From: Ann <ann@example.test>\r\nTo: joe@example.test\r\n\r\n",
        ),
        ("BODY.PEEK[HEADER.FIELDS (X-ODD)]", b"X-Odd: one\r\n\r\n"),
        ("BODY.PEEK[HEADER.FIELDS (X-None)]", b"\r\n"),
        ("BODY.PEEK[HEADER.FIELDS (Subject)]<9.5>", b"Lunch"),
        (
            "BODY.PEEK[HEADER.FIELDS.NOT (From To Subject Date Message-ID Return-Path)]",
            b"X-Odd: one\r\n\r\n",
        ),
    ],
)
def test_sections_of_a_plain_message(wire: Wire, item: str, expected: bytes | None) -> None:
    for _ in range(2):  # cold and warm
        assert section(wire, item) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("BODY.PEEK[1]", b"first part"),
        ("BODY.PEEK[1.MIME]", b"Content-Type: text/plain; charset=utf-8\r\n\r\n"),
        ("BODY.PEEK[2]", INNER),
        ("BODY.PEEK[2.HEADER]", INNER.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"),
        ("BODY.PEEK[2.TEXT]", b"inside\r\n"),
        ("BODY.PEEK[2.1]", b"inside\r\n"),
        ("BODY.PEEK[2.HEADER.FIELDS (subject)]", b"Subject: inner\r\n\r\n"),
        ("BODY.PEEK[2.MIME]", b"Content-Type: message/rfc822\r\n\r\n"),
        ("BODY.PEEK[3]", None),
        ("BODY.PEEK[0]", None),
    ],
)
def test_sections_of_a_nested_message(wire: Wire, item: str, expected: bytes | None) -> None:
    if item == "BODY.PEEK[0]":
        wire.bad(f"FETCH 2 {item}")
        return
    assert section(wire, item, 2) == expected


def test_several_sections_at_once(wire: Wire) -> None:
    (line,) = wire.ok("FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<0.2>)")
    assert line == (
        b"* 1 FETCH (UID 1 BODY[HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: Lunch\r\n\r\n"
        b" BODY[TEXT]<0> {2}\r\nAt)"
    )


def test_seen_is_implied_but_not_by_peek(wire: Wire) -> None:
    wire.ok("FETCH 1 (BODY.PEEK[] RFC822.HEADER ENVELOPE BODYSTRUCTURE)")
    assert b"\\Seen" not in wire.ok("FETCH 1 FLAGS")[0]
    (line,) = wire.ok("FETCH 1 BODY[TEXT]")
    assert line.startswith(b"* 1 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {10}\r\n")
    assert b"\\Seen" in wire.ok("FETCH 1 FLAGS")[0]
    # Told once, with the section; not again, and not to a message that was seen.
    assert wire.ok("NOOP") == []
    assert wire.ok("FETCH 1 BODY[TEXT]<0.2>") == [b"* 1 FETCH (BODY[TEXT]<0> {2}\r\nAt)"]


@pytest.mark.parametrize("item", ["RFC822", "RFC822.TEXT", "BODY[HEADER.FIELDS (Subject)]"])
def test_old_items_and_cached_headers_imply_seen_too(wire: Wire, item: str) -> None:
    assert b"FLAGS (\\Seen \\Recent)" in wire.ok(f"FETCH 1 {item}")[0]


def test_uid_fetch_always_tells_the_uid(wire: Wire) -> None:
    assert wire.ok("UID FETCH 2 FLAGS") == [b"* 2 FETCH (UID 2 FLAGS (\\Recent))"]
    assert wire.ok("UID FETCH 7 FLAGS") == []
    assert len(wire.ok("UID FETCH 7:* FLAGS")) == 1  # "*" is the highest, wherever it lies
    assert len(wire.ok("UID FETCH *:7 FLAGS")) == 1


def test_numbers_that_are_not_there_are_bad(wire: Wire) -> None:
    wire.bad("FETCH 3 FLAGS")
    wire.bad("FETCH 1:3 FLAGS")
    wire.bad("FETCH 0 FLAGS")
    assert len(wire.ok("FETCH 1:* FLAGS")) == 2


def test_fetch_all_of_an_empty_mailbox(server: Server) -> None:
    with server.select() as wire:
        assert wire.ok("FETCH 1:* FLAGS") == []
        assert wire.ok("UID FETCH 1:* FLAGS") == []


def test_a_gone_message_never_ends_the_session(server: Server) -> None:
    for message in numbered(3):
        server.deliver(message)
    with server.select() as wire, server.select() as other:
        other.ok("STORE 2 +FLAGS.SILENT \\Deleted")
        other.ok("EXPUNGE")
        lines = wire.run("FETCH 1:3 (UID BODY.PEEK[])")
        assert [line[:14] for line in lines[:-1]] == [b"* 1 FETCH (UID", b"* 3 FETCH (UID"]
        assert lines[-1].startswith(b"NO [EXPUNGEISSUED]")
        # No EXPUNGE in the answer to FETCH; UID FETCH may tell.
        lines = wire.run("UID FETCH 1:3 FLAGS")
        assert b"* 2 EXPUNGE" in lines
        assert lines[-1].startswith(b"OK [EXPUNGEISSUED]")
        assert len(wire.ok("FETCH 1:2 BODY.PEEK[]")) == 2


def test_a_file_removed_by_hand_is_gone_not_a_fault(server: Server) -> None:
    for message in numbered(2):
        server.deliver(message)
    with server.select() as wire:
        wire.ok("FETCH 1:2 BODY.PEEK[]")
        sorted((server.maildir() / "cur").iterdir())[0].unlink()
        lines = wire.run("FETCH 1:2 BODY.PEEK[TEXT]")
        assert len(lines) == 2
        assert lines[-1].startswith(b"NO [EXPUNGEISSUED]")
        wire.ok("NOOP")
        assert len(wire.ok("FETCH 1:* FLAGS")) == 1


def test_message_stored_with_lf_is_sent_with_crlf(server: Server) -> None:
    server.select().close()
    (server.maildir() / "new" / "1.a.host").write_bytes(PLAIN.replace(b"\r\n", b"\n"))
    with server.select() as wire:
        assert section(wire, "BODY.PEEK[]") == PLAIN
        assert b"RFC822.SIZE %d)" % len(PLAIN) in wire.ok("FETCH 1 RFC822.SIZE")[0]


def test_nul_in_a_message_is_kept(server: Server) -> None:
    odd = b"Subject: a\0b\r\n\r\nc\0d\r\n"
    server.deliver(odd)
    with server.select() as wire:
        assert section(wire, "BODY.PEEK[]") == odd
        assert b"\0" not in wire.ok("FETCH 1 ENVELOPE")[0]


def test_a_large_message_in_pieces(server: Server) -> None:
    large = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 40_000 + b"\r\n"
    server.deliver(large)
    with server.select() as wire:
        assert section(wire, "BODY.PEEK[]") == large
        pieces = [section(wire, f"BODY.PEEK[]<{at}.100000>") for at in range(0, 700_000, 100_000)]
        assert b"".join(piece or b"" for piece in pieces) == large


def test_changed_since_and_modseq(server: Server) -> None:
    for message in numbered(3):
        server.deliver(message)
    with server.select() as wire, server.select() as other:
        (line,) = [x for x in wire.ok("SELECT INBOX") if b"HIGHESTMODSEQ" in x]
        found = re.search(rb"HIGHESTMODSEQ (\d+)", line)
        assert found
        before = found[1].decode()
        other.ok("STORE 2 +FLAGS (\\Flagged)")
        lines = wire.ok(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")
        assert len(lines) >= 1
        assert re.match(rb"\* 2 FETCH \(MODSEQ \(\d+\) FLAGS \(\\Flagged", lines[0])
        assert b"MODSEQ (" in wire.ok("FETCH 1 MODSEQ")[0]


def test_a_thousand_rows_and_cold_facts(server: Server) -> None:
    for message in numbered(300):
        server.deliver(message)
    with server.select() as wire:
        cold = wire.ok("FETCH 1:* (UID ENVELOPE BODYSTRUCTURE FLAGS INTERNALDATE RFC822.SIZE)")
        warm = wire.ok("FETCH 1:* (UID ENVELOPE BODYSTRUCTURE FLAGS INTERNALDATE RFC822.SIZE)")
        assert cold == warm
        assert len(warm) == 300
        assert b'"s300"' in warm[-1]


def test_a_slow_reader_does_not_hold_up_others(server: Server) -> None:
    """Back-pressure: the client that does not read waits alone."""
    server.deliver(b"Subject: big\r\n\r\n" + b"x" * 3_000_000 + b"\r\n")
    with server.select() as slow, server.select() as other:
        slow.send(b"".join(b"x%d FETCH 1 BODY.PEEK[]\r\n" % n for n in range(10)))
        assert "OK" in text(other.run("NOOP"))
        for n in range(10):
            assert slow.until(b"x%d" % n)[-1].startswith(b"x%d OK" % n)
