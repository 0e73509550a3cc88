"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, and names that must not get anywhere."""

from collections.abc import Callable

import pytest

from tests.services.imap.samples import numbered
from tests.services.imap.server import Server
from tests.services.imap.wire import Wire, text


def names(wire: Wire, pattern: str = "*") -> list[str]:
    lines = wire.ok(f'LIST "" "{pattern}"')
    return sorted(line.rpartition(b' "')[2].rstrip(b'"').decode() for line in lines)


def test_create_delete(server: Server) -> None:
    with server.login() as wire:
        before = names(wire)
        wire.ok("CREATE INBOX.Work.2024")
        assert "INBOX.Work.2024" in names(wire)
        assert wire.no("CREATE INBOX.Work.2024").startswith(b"NO [ALREADYEXISTS]")
        assert wire.no("CREATE INBOX").startswith(b"NO [ALREADYEXISTS]")
        wire.ok("SELECT INBOX.Work.2024")
        wire.ok("UNSELECT")
        wire.ok("DELETE INBOX.Work.2024")
        assert names(wire) == before
        assert wire.no("DELETE INBOX.Work.2024").startswith(b"NO [NONEXISTENT]")
        assert wire.no("DELETE INBOX").startswith(b"NO [CANNOT]")


def test_create_with_a_separator_at_the_end(server: Server) -> None:
    with server.login() as wire:
        wire.ok("CREATE INBOX.Parent.")
        assert "INBOX.Parent" in names(wire)


def test_folder_made_again_has_a_higher_uidvalidity(server: Server) -> None:
    def validity(wire: Wire) -> int:
        (line,) = wire.ok("STATUS INBOX.a (UIDVALIDITY)")
        return int(line.rpartition(b" ")[2].rstrip(b")"))

    with server.login() as wire:
        wire.ok("CREATE INBOX.a")
        first = validity(wire)
        wire.ok("DELETE INBOX.a")
        wire.ok("CREATE INBOX.a")
        assert validity(wire) > first


def test_names_that_are_not_ascii(server: Server) -> None:
    with server.login() as wire:
        wire.ok('CREATE "INBOX.Gr&APwA3w-e"')
        assert "INBOX.Gr&APwA3w-e" in names(wire)
        assert (server.maildir() / ".Grüße").is_dir()
        wire.ok('SELECT "INBOX.Gr&APwA3w-e"')


@pytest.mark.parametrize(
    "name",
    [
        '"../../x"',
        '"INBOX.../x"',
        '"INBOX.a/../b"',
        '"INBOX.."',
        '"INBOX..a"',
        '"INBOX.a..b"',
        '"INBOX./etc"',
        '"INBOX.&-&bad"',
        '"INBOX.&AAA-"',
        '"INBOX.&AGE-"',
        '"INBOX.~root"',
        '"INBOX.' + "x" * 5000 + '"',
        '"Other"',
        '"INBOX.' + "a." * 100 + 'b"',
    ],
)
def test_names_that_are_not_allowed(server: Server, name: str) -> None:
    with server.select() as wire:
        before = sorted(path.name for path in server.maildir().iterdir())
        for command in (f"CREATE {name}", f"RENAME INBOX.Sent {name}", f"SELECT {name}"):
            assert wire.no(command)[:11] in (b"NO [CANNOT]", b"NO [NONEXIS"), command
        assert wire.no(f"CREATE {name}").startswith(b"NO [CANNOT]")
        assert sorted(path.name for path in server.maildir().iterdir()) == before


def test_symlinks_are_not_followed(server: Server) -> None:
    server.accounts.add("eve@example.test")
    server.deliver(numbered(1)[0], "eve@example.test")
    with server.select() as wire:
        (server.maildir() / ".Link").symlink_to(server.maildir("eve@example.test"))
        wire.no("SELECT INBOX.Link")


def test_rename(server: Server) -> None:
    with server.login() as wire:
        wire.ok("CREATE INBOX.a")
        wire.ok("CREATE INBOX.a.b")
        wire.append("INBOX.a.b", numbered(1)[0])
        wire.ok("RENAME INBOX.a INBOX.c")
        assert {"INBOX.c", "INBOX.c.b"} <= set(names(wire))
        assert "INBOX.a" not in names(wire)
        assert "* 1 EXISTS" in text(wire.ok("SELECT INBOX.c.b"))
        assert wire.no("RENAME INBOX.c INBOX.Sent").startswith(b"NO [ALREADYEXISTS]")
        assert wire.no("RENAME INBOX.nowhere INBOX.d").startswith(b"NO [NONEXISTENT]")
        assert wire.no("RENAME INBOX.c INBOX.c.d").startswith(b"NO [CANNOT]")


def test_rename_inbox_moves_its_messages(server: Server) -> None:
    for message in numbered(3):
        server.deliver(message)
    with server.select() as wire:
        wire.ok("RENAME INBOX INBOX.old")
        assert "* 3 EXISTS" in text(wire.ok("SELECT INBOX.old"))
        assert "* 0 EXISTS" in text(wire.ok("SELECT INBOX"))
        assert "INBOX.Sent" in names(wire)


def test_deleting_the_selected_mailbox(server: Server) -> None:
    with server.login() as wire:
        wire.ok("CREATE INBOX.a")
        wire.ok("SELECT INBOX.a")
        assert b"[CLOSED]" in wire.ok("DELETE INBOX.a")[0]
        wire.bad("FETCH 1 FLAGS")
        wire.ok("NOOP")


def test_a_mailbox_deleted_by_another_session(server: Server) -> None:
    with server.login() as wire, server.login() as other:
        wire.ok("CREATE INBOX.a")
        wire.append("INBOX.a", numbered(1)[0])
        wire.ok("SELECT INBOX.a")
        other.ok("DELETE INBOX.a")
        for command in ("NOOP", "FETCH 1 BODY.PEEK[]", "STORE 1 +FLAGS \\Seen", "EXPUNGE"):
            assert wire.run(command)[-1][:2] in (b"OK", b"NO")
        wire.ok("SELECT INBOX")


def test_create_with_a_special_use(server: Server) -> None:
    with server.login() as wire:
        wire.ok("CREATE INBOX.Outgoing (USE (\\Sent))")
        assert any(b"\\Sent" in line for line in wire.ok('LIST "" INBOX.Outgoing'))
        assert wire.no("CREATE INBOX.x (USE (\\Odd))").startswith(b"NO [USEATTR]")


def test_subscriptions(server: Server) -> None:
    with server.login() as wire:
        wire.ok("CREATE INBOX.a")
        assert not any(b"INBOX.a" in line for line in wire.ok('LSUB "" "*"'))
        wire.ok("SUBSCRIBE INBOX.a")
        assert any(b"INBOX.a" in line for line in wire.ok('LSUB "" "*"'))
        wire.ok("UNSUBSCRIBE INBOX.a")
        assert not any(b"INBOX.a" in line for line in wire.ok('LSUB "" "*"'))
        wire.ok("SUBSCRIBE INBOX.not.yet")
        assert any(b"INBOX.not.yet" in line for line in wire.ok('LSUB "" "*"'))


def test_slash_without_prefix_by_setting(start: Callable[..., Server]) -> None:
    server = start(separator="/")
    with server.login() as wire:
        wire.ok("CREATE Work/2024")
        assert {"INBOX", "Sent", "Work/2024"} <= set(names(wire))
        assert (server.maildir() / ".Work.2024").is_dir()
        assert wire.no("CREATE a.b").startswith(b"NO [CANNOT]")
        assert wire.ok("NAMESPACE") == [b'* NAMESPACE (("" "/")) NIL NIL']
        wire.ok("SELECT Work/2024")
