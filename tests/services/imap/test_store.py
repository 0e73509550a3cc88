r"""STORE: the answers, .SILENT, keywords, UNCHANGEDSINCE, and what other sessions hear."""

import re

import pytest

from tests.services.imap.samples import numbered
from tests.services.imap.server import Server
from tests.services.imap.wire import Wire, text


@pytest.fixture
def three(server: Server) -> Server:
    for message in numbered(3):
        server.deliver(message)
    with server.select():
        pass  # takes \Recent
    return server


def flags(wire: Wire, message: int = 1) -> set[str]:
    (line,) = wire.ok(f"FETCH {message} FLAGS")
    found = re.search(rb"FLAGS \(([^)]*)\)", line)
    assert found
    return set(found[1].decode().split())


def test_set_add_remove(three: Server) -> None:
    with three.select() as wire:
        assert wire.ok("STORE 1 FLAGS (\\Seen \\Flagged)") == [
            b"* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen))"
        ]
        assert wire.ok("STORE 1 +FLAGS \\Answered") == [
            b"* 1 FETCH (UID 1 FLAGS (\\Answered \\Flagged \\Seen))"
        ]
        assert wire.ok("STORE 1 -FLAGS (\\Seen \\Flagged)") == [
            b"* 1 FETCH (UID 1 FLAGS (\\Answered))"
        ]
        assert wire.ok("STORE 1 FLAGS ()") == [b"* 1 FETCH (UID 1 FLAGS ())"]


def test_what_is_stored_already_is_answered_all_the_same(three: Server) -> None:
    with three.select() as wire:
        wire.ok("STORE 1 +FLAGS \\Seen")
        assert wire.ok("STORE 1 +FLAGS \\Seen") == [b"* 1 FETCH (UID 1 FLAGS (\\Seen))"]


def test_silent(three: Server) -> None:
    with three.select() as wire:
        assert wire.ok("STORE 1:3 +FLAGS.SILENT \\Seen") == []
        assert wire.ok("NOOP") == []
        assert flags(wire, 3) == {"\\Seen"}


def test_silent_tells_what_another_session_did_meanwhile(three: Server) -> None:
    with three.select() as wire, three.select() as other:
        other.ok("STORE 1 +FLAGS \\Flagged")
        lines = wire.ok("STORE 1 +FLAGS.SILENT \\Seen") + wire.ok("NOOP")
        assert any(b"\\Flagged" in line for line in lines)


def test_keywords(three: Server) -> None:
    with three.select() as wire:
        lines = wire.ok("STORE 1 +FLAGS (work $Label1 \\Seen)")
        assert lines[0].startswith(b"* FLAGS (")
        assert b"work" in lines[0]
        assert b"[PERMANENTFLAGS (" in lines[1]
        assert flags(wire) == {"work", "$Label1", "\\Seen"}
        wire.ok("STORE 1 -FLAGS work")
        assert flags(wire) == {"$Label1", "\\Seen"}
    with three.select() as wire:
        assert flags(wire) == {"$Label1", "\\Seen"}


def test_forwarded_is_a_maildir_flag(three: Server) -> None:
    with three.select() as wire:
        wire.ok("STORE 1 +FLAGS.SILENT ($Forwarded)")
        assert flags(wire) == {"$Forwarded"}
    assert [f.name for f in (three.maildir() / "cur").iterdir() if f.name.endswith(":2,P")]


def test_too_many_keywords(three: Server) -> None:
    with three.select() as wire:
        many = " ".join(f"k{n}" for n in range(70))
        assert wire.no(f"STORE 1 +FLAGS ({many})").startswith(b"NO [LIMIT]")
        wire.ok("NOOP")


def test_recent_cannot_be_stored(three: Server) -> None:
    with three.select() as wire:
        wire.run("STORE 1 +FLAGS \\Recent")
        assert flags(wire) == set()


def test_uid_store(three: Server) -> None:
    with three.select() as wire:
        assert wire.ok("UID STORE 2:3 +FLAGS \\Seen") == [
            b"* 2 FETCH (UID 2 FLAGS (\\Seen))",
            b"* 3 FETCH (UID 3 FLAGS (\\Seen))",
        ]
        assert wire.ok("UID STORE 9 +FLAGS \\Seen") == []
        wire.bad("STORE 9 +FLAGS \\Seen")


def test_others_hear_at_their_next_command(three: Server) -> None:
    with three.select() as wire, three.select() as other:
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        assert other.ok("NOOP") == [b"* 1 FETCH (UID 1 FLAGS (\\Deleted))"]
        assert other.ok("NOOP") == []


def test_expunge_is_not_told_in_the_answer_to_store_or_fetch_or_search(three: Server) -> None:
    with three.select() as wire, three.select() as other:
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        wire.ok("EXPUNGE")
        assert "EXPUNGE" not in text(other.ok("STORE 2 +FLAGS \\Seen"))
        assert "EXPUNGE" not in text(other.ok("FETCH 2 FLAGS"))
        assert "EXPUNGE" not in text(other.ok("SEARCH SEEN"))
        assert other.ok("NOOP") == [b"* 1 EXPUNGE"]


def test_gone_messages(three: Server) -> None:
    with three.select() as wire, three.select() as other:
        wire.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        wire.ok("EXPUNGE")
        lines = other.run("STORE 1:2 +FLAGS \\Seen")
        assert lines[0] == b"* 2 FETCH (UID 2 FLAGS (\\Seen))"
        assert lines[-1].startswith(b"NO [EXPUNGEISSUED]")


def modseq(wire: Wire, message: int) -> int:
    (line,) = wire.ok(f"FETCH {message} MODSEQ")
    found = re.search(rb"MODSEQ \((\d+)\)", line)
    assert found
    return int(found[1])


def test_unchanged_since(three: Server) -> None:
    with three.select() as wire, three.select() as other:
        known = modseq(wire, 1)
        other.ok("STORE 1 +FLAGS \\Flagged")
        wire.ok("NOOP")
        lines = wire.run(f"STORE 1:2 (UNCHANGEDSINCE {known}) +FLAGS.SILENT \\Seen")
        assert lines[-1].startswith(b"OK [MODIFIED 1]")
        assert "\\Seen" not in flags(wire, 1)
        lines = wire.run(f"UID STORE 1 (UNCHANGEDSINCE {modseq(wire, 1)}) +FLAGS.SILENT \\Seen")
        assert lines[-1].startswith(b"OK Store")
        # Even with .SILENT the new MODSEQ is told (RFC 7162 section 3.1.3).
        assert lines[0] == b"* 1 FETCH (UID 1 MODSEQ (%d))" % modseq(wire, 1)


def test_modseq_in_updates_where_condstore_is_enabled(three: Server) -> None:
    with three.select() as wire, three.select() as other:
        other.ok("ENABLE CONDSTORE")
        wire.ok("STORE 1 +FLAGS.SILENT \\Seen")
        (line,) = other.ok("NOOP")
        assert re.fullmatch(rb"\* 1 FETCH \(UID 1 MODSEQ \(\d+\) FLAGS \(\\Seen\)\)", line)


def test_modseq_grows(three: Server) -> None:
    with three.select() as wire:
        first = modseq(wire, 1)
        wire.ok("STORE 1 +FLAGS \\Seen")
        second = modseq(wire, 1)
        assert second > first
        wire.ok("STORE 1 +FLAGS \\Seen")  # no change, no new MODSEQ
        assert modseq(wire, 1) == second


def test_pipelined_stores_happen_in_order(three: Server) -> None:
    with three.select() as wire:
        for n in range(30):
            wire.start(f"STORE 1:3 {'+-'[n % 2]}FLAGS.SILENT \\Seen")
        last = wire.start("NOOP")
        wire.until(last)
        assert flags(wire) == set()
