r"""SEARCH: every key, ESEARCH, the saved result, charsets, numbering, and what it costs."""

import os
import re
import time
from collections.abc import Callable

import pytest

from tests.services.imap.samples import NESTED, PLAIN, numbered
from tests.services.imap.server import Server
from tests.services.imap.wire import Wire, text

ENCODED = (
    b"From: =?iso-8859-1?q?J=F6rg?= <joerg@example.test>\r\n"
    b"To: List <list@example.test>,\r\n ann@example.test\r\n"
    b"Cc: bob@example.test\r\n"
    b"Subject: =?utf-8?b?R3LDvMOfZSBhdXM=?= =?utf-8?b?IEvDtmxu?=\r\n"
    b"Date: Tue, 4 Feb 2025 00:30:00 +0200\r\n"
    b"X-Note: remember the milk\r\n"
    b"Content-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n"
    b"\r\n"
    b"Stra=DFe nach M=FCn=\r\nchen\r\n"
)


@pytest.fixture
def box(server: Server) -> Server:
    """PLAIN is message 1, ENCODED 2, NESTED 3."""
    for message in (PLAIN, ENCODED, NESTED):
        server.deliver(message)
    with server.select():
        pass  # takes \Recent
    return server


def found(wire: Wire, keys: str | bytes) -> list[int]:
    """Return the numbers of a SEARCH."""
    raw = keys.encode() if isinstance(keys, str) else keys
    (line,) = wire.ok(b"SEARCH " + raw)
    assert line.startswith(b"* SEARCH")
    return [int(number) for number in line.split()[2:]]


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        ("ALL", [1, 2, 3]),
        ("1:2", [1, 2]),
        ("2:*", [2, 3]),
        ("UID 2", [2]),
        ("UID 3:99", [3]),
        ("NOT 2", [1, 3]),
        ("OR 1 3", [1, 3]),
        ("(1:2 NOT 1)", [2]),
        ("FROM ann", [1, 3]),
        ('FROM "ANN@EXAMPLE"', [1, 3]),
        ("SUBJECT lunch", [1]),
        ("TO joe", [1]),
        ('TO "list <list@example.test>, ann"', [2]),
        ("CC bob", [2]),
        ("BCC bob", []),
        ("HEADER X-Odd one", [1]),
        ('HEADER X-Odd ""', [1]),
        ('HEADER Message-ID ""', [1]),
        ('HEADER X-Note "the MILK"', [2]),
        ("NOT HEADER X-Odd one", [2, 3]),
        ("BODY noon", [1]),
        ("BODY lunch", []),
        ("TEXT lunch", [1]),
        ("BODY inside", [3]),
        ("TEXT inner", [3]),
        ("TEXT message/rfc822", [3]),  # the header of a part
        ("BODY inner", []),
        ('BODY ""', [1, 2, 3]),
        ("NOT BODY noon", [2, 3]),
        ("OR BODY noon FROM ann", [1, 3]),
        ("OR FROM nobody NOT (BODY noon)", [2, 3]),
        ("1:2 BODY e", [2]),
        ("SENTON 3-Feb-2025", [1]),
        ("SENTSINCE 4-Feb-2025", [2]),
        ("SENTBEFORE 4-Feb-2025", [1]),
        ("NOT SENTBEFORE 4-Feb-2025", [2, 3]),
        ("SINCE 1-Jan-2020", [1, 2, 3]),
        ("BEFORE 1-Jan-2020", []),
        ("YOUNGER 3600", [1, 2, 3]),
        ("OLDER 3600", []),
        (f"SMALLER {len(PLAIN)}", []),
        (f"SMALLER {len(PLAIN) + 1}", [1]),
        (f"LARGER {len(PLAIN)}", [2, 3]),
        ("SEEN", []),
        ("UNSEEN", [1, 2, 3]),
        ("NEW", []),
        ("OLD", [1, 2, 3]),
        ("RECENT", []),
        ("KEYWORD work", []),
        ("UNKEYWORD work", [1, 2, 3]),
    ],
)
def test_keys(box: Server, keys: str, numbers: list[int]) -> None:
    with box.select() as wire:
        assert found(wire, keys) == numbers


def test_every_key_again_once_all_is_cached(box: Server) -> None:
    with box.select() as wire:
        for _ in range(2):
            assert found(wire, "SUBJECT Lunch FROM Ann SENTON 3-Feb-2025 BODY noon") == [1]


@pytest.mark.parametrize(
    ("charset", "subject", "numbers"),
    [
        ("UTF-8", "grüße", [2, 3]),
        ("UTF-8", "GRÜSSE", [2, 3]),  # ß folds to ss
        ("UTF-8", "aus köln", [2]),
        ("ISO-8859-1", "köln", [2]),
        ("utf-8", "nichts", []),
    ],
)
def test_encoded_words_and_charsets(
    box: Server, charset: str, subject: str, numbers: list[int]
) -> None:
    codec = "latin-1" if charset.startswith("ISO") else "utf-8"
    octets = subject.encode(codec)
    keys = b"CHARSET %b SUBJECT {%d+}\r\n%b" % (charset.encode(), len(octets), octets)
    with box.select() as wire:
        assert found(wire, keys) == numbers


def test_bodies_are_decoded(box: Server) -> None:
    with box.select() as wire:
        assert found(wire, 'CHARSET UTF-8 BODY "straße nach münchen"'.encode()) == [2]
        assert found(wire, 'TEXT "jörg"'.encode()) == [2]


def test_unknown_charset(box: Server) -> None:
    with box.select() as wire:
        assert wire.no("SEARCH CHARSET x-klingon ALL").startswith(b"NO [BADCHARSET (")


def test_flags_and_keywords(box: Server) -> None:
    with box.select() as wire:
        wire.ok("STORE 1 +FLAGS.SILENT (\\Seen \\Flagged Work)")
        wire.ok("STORE 2 +FLAGS.SILENT (\\Answered \\Deleted \\Draft $Forwarded)")
        for keys, numbers in {
            "SEEN": [1],
            "UNSEEN": [2, 3],
            "FLAGGED": [1],
            "UNFLAGGED": [2, 3],
            "ANSWERED": [2],
            "DELETED": [2],
            "UNDELETED": [1, 3],
            "DRAFT": [2],
            "UNDRAFT": [1, 3],
            "KEYWORD work": [1],
            "KEYWORD $forwarded": [2],
            "UNKEYWORD WORK": [2, 3],
            "OR SEEN DELETED UNDRAFT": [1],
        }.items():
            assert found(wire, keys) == numbers, keys


def test_recent_and_new(box: Server) -> None:
    box.deliver(PLAIN)
    with box.select() as wire:
        assert found(wire, "RECENT") == [4]
        assert found(wire, "NEW") == [4]
        wire.ok("STORE 4 +FLAGS.SILENT \\Seen")
        assert found(wire, "NEW") == []
        assert found(wire, "OLD") == [1, 2, 3]


def test_nothing_found_is_still_an_answer(server: Server) -> None:
    with server.select() as wire:
        assert wire.ok("SEARCH ALL") == [b"* SEARCH"]
        assert wire.ok("UID SEARCH 1:*") == [b"* SEARCH"]
        assert wire.ok("SEARCH RETURN (MIN MAX ALL COUNT) ALL") == [b'* ESEARCH (TAG "t5") COUNT 0']


def test_numbers_that_no_message_has(box: Server) -> None:
    with box.select() as wire:
        wire.bad("SEARCH 4")
        wire.bad("SEARCH NOT (SEEN OR 1 9)")
        assert found(wire, "UID 4:9") == []


def test_uid_search_after_expunge(box: Server) -> None:
    with box.select() as wire:
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        wire.ok("EXPUNGE")
        assert found(wire, "FROM ann") == [2]
        assert wire.ok("UID SEARCH FROM ann") == [b"* SEARCH 3"]
        assert wire.ok("UID SEARCH 1 UID 1:2") == [b"* SEARCH 2"]


def esearch(wire: Wire, command: str) -> bytes:
    """Return what follows the tag of an ESEARCH answer."""
    (line,) = wire.ok(command)
    match = re.fullmatch(rb'\* ESEARCH \(TAG "t\d+"\)(.*)', line)
    assert match, line
    return match[1]


def test_esearch(box: Server) -> None:
    with box.select() as wire:
        assert esearch(wire, "SEARCH RETURN (MIN MAX COUNT) ALL") == b" MIN 1 MAX 3 COUNT 3"
        assert esearch(wire, "SEARCH RETURN () FROM ann") == b" ALL 1,3"
        assert esearch(wire, "UID SEARCH RETURN (ALL) ALL") == b" UID ALL 1:3"
        assert esearch(wire, "SEARCH RETURN (MIN) FROM nobody") == b""
        assert esearch(wire, "SEARCH RETURN (MIN) FROM ann") == b" MIN 1"
        assert esearch(wire, "SEARCH RETURN (MAX) BODY e") == b" MAX 3"
        assert esearch(wire, "SEARCH RETURN (COUNT) CHARSET UTF-8 1:2") == b" COUNT 2"


def test_the_saved_result(box: Server) -> None:
    with box.select() as wire:
        assert wire.ok("FETCH $ UID") == []  # empty at first
        assert wire.ok("SEARCH RETURN (SAVE) FROM ann") == []
        assert wire.ok("FETCH $ UID") == [b"* 1 FETCH (UID 1)", b"* 3 FETCH (UID 3)"]
        assert found(wire, "$ SUBJECT lunch") == [1]
        assert found(wire, "NOT $") == [2]
        assert wire.ok("UID SEARCH UID $") == [b"* SEARCH 1 3"]
        assert esearch(wire, "SEARCH RETURN (SAVE COUNT) NOT $") == b" COUNT 1"
        assert found(wire, "$") == [2]
        assert esearch(wire, "SEARCH RETURN (SAVE MIN MAX) ALL") == b" MIN 1 MAX 3"
        assert found(wire, "$") == [1, 3]
        wire.bad("SEARCH RETURN (SAVE) FROB")  # BAD keeps it
        wire.bad("SEARCH RETURN (SAVE) 99")
        assert found(wire, "$") == [1, 3]
        wire.ok("STORE $ +FLAGS.SILENT \\Deleted")
        wire.ok("EXPUNGE")
        assert found(wire, "$") == []
        wire.ok("SEARCH RETURN (SAVE) ALL")
        wire.ok("SELECT INBOX")
        assert found(wire, "$") == []


def test_modseq(box: Server) -> None:
    with box.select() as wire:
        wire.ok("STORE 2 +FLAGS.SILENT \\Seen")
        (line,) = wire.ok("FETCH 1:3 MODSEQ")[1:2]
        match = re.search(rb"MODSEQ \((\d+)\)", line)
        assert match
        modseq = int(match[1])
        assert wire.ok(f"SEARCH MODSEQ {modseq}") == [b"* SEARCH 2 (MODSEQ %d)" % modseq]
        assert wire.ok(f"SEARCH MODSEQ {modseq + 1}") == [b"* SEARCH"]
        assert esearch(wire, f"SEARCH RETURN (ALL) MODSEQ {modseq}") == b" ALL 2 MODSEQ %d" % modseq
        answer = esearch(wire, "SEARCH RETURN (MIN) MODSEQ 1")
        assert int(answer.split()[-1]) < modseq  # of the message named, not of all


def test_not_seen_by_search(box: Server) -> None:
    with box.select() as wire:
        found(wire, "BODY noon")
        assert found(wire, "SEEN") == []


def test_messages_that_came_meanwhile_are_told_before_they_are_found(box: Server) -> None:
    with box.select() as wire:
        box.deliver(PLAIN)
        wire.ok("NOOP")
        assert found(wire, "SUBJECT lunch") == [1, 4]


def test_gone_messages_match_nothing(box: Server) -> None:
    with box.select() as wire, box.select() as other:
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        wire.ok("EXPUNGE")
        for keys in ("ALL", "NOT SUBJECT x", "NOT BODY x", "OR ALL BODY x"):
            lines = other.ok(f"SEARCH {keys}")
            assert lines == [b"* SEARCH 2 3"], keys  # numbers stay: no EXPUNGE was told
        assert "EXPUNGE" in text(other.ok("NOOP"))


def test_a_file_removed_behind_our_back(box: Server) -> None:
    with box.select() as wire:
        for name in os.listdir(box.maildir() / "cur"):
            os.unlink(box.maildir() / "cur" / name)
        assert found(wire, "BODY noon") == []


def test_a_header_too_long_to_be_cached(box: Server) -> None:
    box.deliver(b"Subject: " + b"long " * 20000 + b"needle\r\n\r\nbody\r\n")
    with box.select() as wire:
        assert found(wire, "SUBJECT needle") == [4]
        assert found(wire, "NOT SUBJECT needle") == [1, 2, 3]


def test_search_needs_a_mailbox(server: Server) -> None:
    with server.login() as wire:
        wire.bad("SEARCH ALL")


def test_a_large_tree(box: Server) -> None:
    with box.select() as wire:
        keys = "OR FROM nobody " * 120 + "FROM ann"
        assert found(wire, keys) == [1, 3]
        assert wire.no("SEARCH " + "NOT " * 500 + "ALL").startswith(b"NO [LIMIT]")


def test_others_are_served_while_a_long_search_runs(start: Callable[..., Server]) -> None:
    server = start()
    for message in numbered(300):
        server.deliver(message)
    with server.select() as wire, server.select() as other:
        tag = wire.start("SEARCH TEXT nothing")
        began = time.monotonic()
        other.ok("NOOP")
        assert time.monotonic() - began < 30
        assert wire.until(tag)[0] == b"* SEARCH"
