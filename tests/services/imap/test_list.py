"""LIST, LSUB, NAMESPACE, STATUS, QUOTA."""

import time

from tests.services.imap.samples import PLAIN, numbered
from tests.services.imap.server import Server
from tests.services.imap.wire import text


def test_list_of_a_new_account(server: Server) -> None:
    with server.login() as wire:
        assert wire.ok('LIST "" "*"') == [
            b'* LIST (\\HasChildren) "." "INBOX"',
            b'* LIST (\\Archive \\HasNoChildren) "." "INBOX.Archive"',
            b'* LIST (\\Drafts \\HasNoChildren) "." "INBOX.Drafts"',
            b'* LIST (\\Junk \\HasNoChildren) "." "INBOX.Junk"',
            b'* LIST (\\Sent \\HasNoChildren) "." "INBOX.Sent"',
            b'* LIST (\\Trash \\HasNoChildren) "." "INBOX.Trash"',
        ]


def test_patterns(server: Server) -> None:
    with server.login() as wire:
        wire.ok("CREATE INBOX.a.b.c")
        shown = text(wire.ok('LIST "" "INBOX.a%"'))
        assert '"INBOX.a"' in shown
        assert "\\Noselect" in shown
        assert "INBOX.a.b" not in shown
        assert len(wire.ok('LIST "" "%"')) == 1
        assert wire.ok('LIST "" "inbox"') == [b'* LIST (\\HasChildren) "." "INBOX"']
        assert '"INBOX.a.b.c"' in text(wire.ok('LIST "INBOX.a." "*"'))
        assert wire.ok('LIST "" "nothing*"') == []


def test_list_of_the_separator(server: Server) -> None:
    with server.login() as wire:
        assert wire.ok('LIST "" ""') == [b'* LIST (\\Noselect) "." ""']


def test_pattern_that_would_take_for_ever(server: Server) -> None:
    """CVE-2026-33607."""
    with server.login() as wire:
        wire.ok("CREATE INBOX." + "a" * 200)
        began = time.monotonic()
        wire.ok('LIST "" "' + "*a" * 300 + "%%%b" + '"')
        assert time.monotonic() - began < 30


def test_extended_list(server: Server) -> None:
    with server.login() as wire:
        wire.ok("CREATE INBOX.a")
        wire.ok("CREATE INBOX.a.b")
        wire.ok("SUBSCRIBE INBOX.a.b")
        lines = wire.ok('LIST (SUBSCRIBED) "" "*" RETURN (CHILDREN)')
        assert b'* LIST (\\Subscribed \\HasNoChildren) "." "INBOX.a.b"' in lines
        assert not any(line.endswith(b'"INBOX.a"') for line in lines)
        lines = wire.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" "INBOX.%"')
        assert any(b'"INBOX.a" ("CHILDINFO" ("SUBSCRIBED"))' in line for line in lines)
        lines = wire.ok('LIST (SPECIAL-USE) "" "*"')
        assert len(lines) == 5
        lines = wire.ok('LIST "" (INBOX INBOX.Sent)')
        assert len(lines) == 2


def test_list_status(server: Server) -> None:
    server.deliver(PLAIN)
    with server.login() as wire:
        lines = wire.ok('LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN))')
        assert b'* STATUS "INBOX" (MESSAGES 1 UNSEEN 1)' in lines
        assert b'* STATUS "INBOX.Sent" (MESSAGES 0 UNSEEN 0)' in lines


def test_lsub_shows_parents_of_subscribed_folders(server: Server) -> None:
    with server.login() as wire:
        wire.ok("SUBSCRIBE INBOX.x.y")
        assert b'* LSUB (\\Noselect) "." "INBOX.x"' in wire.ok('LSUB "" "INBOX.%"')


def test_namespace(server: Server) -> None:
    with server.login() as wire:
        assert wire.ok("NAMESPACE") == [b'* NAMESPACE (("INBOX." ".")) NIL NIL']


def test_status(server: Server) -> None:
    for message in numbered(3):
        server.deliver(message)
    with server.select() as wire:
        wire.ok("STORE 1 +FLAGS.SILENT \\Seen")
        wire.ok("UNSELECT")
        (line,) = wire.ok("STATUS INBOX (MESSAGES UIDNEXT UNSEEN SIZE RECENT)")
        total = sum(map(len, numbered(3)))
        assert line == (
            b'* STATUS "INBOX" (MESSAGES 3 RECENT 0 UIDNEXT 4 UNSEEN 2 SIZE %d)' % total
        )
        assert b"HIGHESTMODSEQ" in wire.ok("STATUS INBOX (HIGHESTMODSEQ UIDVALIDITY)")[0]
        assert wire.no("STATUS INBOX.Nowhere (MESSAGES)").startswith(b"NO [NONEXISTENT]")


def test_quota(server: Server) -> None:
    server.accounts.add("q@example.test", quota="1024000S,100C")
    with server.login("q@example.test") as wire:
        wire.append("INBOX", b"Subject: x\r\n\r\n" + b"y" * 5000 + b"\r\n")
        lines = wire.ok("GETQUOTAROOT INBOX")
        assert lines[0] == b'* QUOTAROOT "INBOX" ""'
        assert lines[1] == b'* QUOTA "" (STORAGE 5 1000 MESSAGE 1 100)'
        assert wire.ok('GETQUOTA ""') == lines[1:]
        assert wire.no("GETQUOTA other").startswith(b"NO [NONEXISTENT]")
        assert wire.no('SETQUOTA "" (STORAGE 5)').startswith(b"NO [NOPERM]")


def test_no_quota(server: Server) -> None:
    with server.login() as wire:
        assert wire.ok("GETQUOTAROOT INBOX") == [b'* QUOTAROOT "INBOX" ""', b'* QUOTA "" ()']
