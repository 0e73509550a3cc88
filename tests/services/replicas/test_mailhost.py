"""Sessions of accounts whose mail is elsewhere (option mailhost): the old system serves them."""

import imaplib
import poplib
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from restante.rpc.admin_client import AdminClient
from tests.services.imap.wire import Wire
from tests.support import System
from tests.support.system import unique_message
from tests.transcripts.imap import dovecot

PASSWORD = 'se cr"\\et ü'
FRED = "fred@example.test"


@dataclass
class Pair:
    """The system that clients know, and the one that has the mail."""

    new: System
    old: System

    def imap(self) -> Wire:
        return Wire(self.new.address("imap"))

    def logged_in(self) -> Wire:
        wire = self.imap()
        wire.ok('LOGIN fred@example.test "se cr\\"\\\\et ü"')
        return wire


def pair(base: Path, user: str, **env: str) -> Iterator[Pair]:
    with System(base / "old", ("imap", "pop3", "delivery")) as old:
        old.add_account(FRED, PASSWORD)
        with smtplib.LMTP(*old.address("delivery", "lmtp_listen")) as client:
            for n in range(3):
                client.sendmail("bob@x.test", FRED, unique_message(f"message {n}", 200_000))
        new = System(
            base / "new",
            ("imap", "pop3"),
            {
                "RESTANTE_IMAP_PROXY_CA": str(old.certificate),
                "RESTANTE_POP3_PROXY_CA": str(old.certificate),
                "RESTANTE_HOSTNAME": "new.example.test",
                # A change is heard of some moments later; until then a login might stay here.
                "RESTANTE_VERDICT_SECONDS": "0",
                **env,
            },
        )
        with new:
            new.add_account(FRED, PASSWORD)
            yield Pair(new, old)


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    yield from pair(tmp_path_factory.mktemp("mailhost"), FRED)


def send_to(systems: Pair, service: str) -> None:
    """Let the account's sessions of a service go to the old system."""
    host, port = systems.old.address(service)
    set_options(systems, f"mailhost={host}:{port}")


def set_options(systems: Pair, options: str) -> None:
    with AdminClient(systems.new.auth_target, systems.new.admin_token) as admin:
        admin.update_account(FRED, options=options)


def test_imap_is_served_by_the_other_host(systems: Pair) -> None:
    send_to(systems, "imap")
    with systems.logged_in() as wire:
        assert b"* 3 EXISTS" in b"\r\n".join(wire.ok("SELECT INBOX"))
        # Big answers come whole, and a message goes the other way.
        assert len(b"".join(wire.ok("FETCH 1:3 BODY.PEEK[]"))) > 600_000
        big = unique_message("appended", 500_000)
        wire.send(b"x APPEND INBOX {%d+}\r\n%b\r\n" % (len(big), big))
        assert wire.until(b"x")[-1].startswith(b"x OK")
        wire.ok("STORE 4 +FLAGS.SILENT (\\Deleted)")
        wire.ok("EXPUNGE")
        assert b"BYE" in b"".join(wire.run("LOGOUT"))
    # Nothing was made here.
    assert not (systems.new.mail_root / "example.test").exists()


def test_what_was_pipelined_behind_the_login_is_passed_on(systems: Pair) -> None:
    send_to(systems, "imap")
    with systems.imap() as wire:
        wire.send(
            b'a LOGIN fred@example.test "se cr\\"\\\\et \xc3\xbc"\r\n'
            b"b SELECT INBOX\r\nc FETCH 1 (UID)\r\nd LOGOUT\r\n"
        )
        text = b"\r\n".join(wire.until(b"d"))
        for answer in (b"a OK [CAPABILITY ", b"b OK", b"* 1 FETCH (UID 1)", b"c OK", b"d OK"):
            assert answer in text


def test_sasl_plain_is_passed_on_and_others_are_not(systems: Pair) -> None:
    send_to(systems, "imap")
    client = imaplib.IMAP4(*systems.new.address("imap"))
    client.authenticate("PLAIN", lambda _: f"\0{FRED}\0{PASSWORD}".encode())
    assert client.select()[0] == "OK"
    client.logout()


def test_pop3_is_served_by_the_other_host(systems: Pair) -> None:
    send_to(systems, "pop3")
    client = poplib.POP3(*systems.new.address("pop3"))
    client.encoding = "UTF-8"
    client.user(FRED)
    client.pass_(PASSWORD)
    assert client.stat()[0] == 3
    assert len(client.retr(2)[1]) > 2500
    client.quit()


def test_a_name_of_this_system_is_served_here(systems: Pair) -> None:
    set_options(systems, "mailhost=new.example.test")
    with systems.logged_in() as wire:
        assert b"* 0 EXISTS" in b"\r\n".join(wire.ok("SELECT INBOX"))


def test_a_session_ends_when_its_account_is_disabled(systems: Pair) -> None:
    send_to(systems, "imap")
    with (
        systems.logged_in() as wire,
        AdminClient(systems.new.auth_target, systems.new.admin_token) as admin,
    ):
        wire.ok("SELECT INBOX")
        admin.update_account(FRED, disabled=True)
        with pytest.raises(EOFError):
            wire.line()
        admin.update_account(FRED, disabled=False)


@pytest.mark.parametrize(
    ("mailhost", "word"),
    [
        ("127.0.0.1:1", b"does not answer"),
        ("nonsense:port", b"mailhost"),
        ("{pop3}", b"NO [UNAVAILABLE]"),  # something else than IMAP
    ],
)
def test_a_host_that_is_away_is_a_temporary_failure(
    systems: Pair, mailhost: str, word: bytes
) -> None:
    host, port = systems.old.address("pop3")
    set_options(systems, "mailhost=" + mailhost.replace("{pop3}", f"{host}:{port}"))
    with systems.imap() as wire:
        answer = wire.run('LOGIN fred@example.test "se cr\\"\\\\et ü"')[-1]
        assert b"NO [UNAVAILABLE]" in answer
        assert word in answer
        # The client may go on: its password was right.
        set_options(systems, "")
        wire.ok('LOGIN fred@example.test "se cr\\"\\\\et ü"')


def test_a_host_that_refuses_does_not_make_the_password_wrong(systems: Pair) -> None:
    send_to(systems, "imap")
    with AdminClient(systems.old.auth_target, systems.old.admin_token) as admin:
        admin.set_password(FRED, "another")
        try:
            with systems.imap() as wire:
                answer = wire.run('LOGIN fred@example.test "se cr\\"\\\\et ü"')[-1]
            assert b"NO [UNAVAILABLE]" in answer
        finally:
            admin.set_password(FRED, PASSWORD)


def test_a_certificate_of_somebody_else_is_refused(tmp_path: Path) -> None:
    for systems in pair(tmp_path, FRED, RESTANTE_IMAP_PROXY_CA="", RESTANTE_POP3_PROXY_CA=""):
        send_to(systems, "imap")
        with systems.imap() as wire:
            answer = wire.run('LOGIN fred@example.test "se cr\\"\\\\et ü"')[-1]
            assert b"NO [UNAVAILABLE]" in answer
        send_to(systems, "pop3")
        client = poplib.POP3(*systems.new.address("pop3"))
        client.encoding = "UTF-8"
        client.user(FRED)
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
            client.pass_(PASSWORD)
        client.close()


def test_implicit_tls(tmp_path: Path) -> None:
    tls = {"RESTANTE_IMAP_PROXY_TLS": "implicit", "RESTANTE_POP3_PROXY_TLS": "implicit"}
    for systems in pair(tmp_path, FRED, **tls):
        host, port = systems.old.address("imap", "tls_listen")
        set_options(systems, f"mailhost={host}:{port}")
        context: ssl.SSLContext = systems.new.tls_client()
        with imaplib.IMAP4_SSL(
            "localhost", systems.new.address("imap", "tls_listen")[1], ssl_context=context
        ) as client:
            client.authenticate("PLAIN", lambda _: f"\0{FRED}\0{PASSWORD}".encode())
            assert client.select() == ("OK", [b"3"])


@pytest.mark.skipif(bool(dovecot.why_not()), reason=dovecot.why_not() or "it can")
def test_a_real_dovecot_serves_on(tmp_path: Path) -> None:
    """The old system is Dovecot: clients that know only the new one see its mail."""
    old = dovecot.Dovecot()
    try:
        with System(tmp_path, ("imap",), {"RESTANTE_IMAP_PROXY_TLS": "off"}) as new:
            new.add_account(FRED, dovecot.PASSWORD, options=f"mailhost=127.0.0.1:{old.port}")
            with Wire(new.address("imap")) as wire:
                assert b"CAPABILITY" in wire.run(f"LOGIN {FRED} {dovecot.PASSWORD}")[-1]
                wire.ok("CREATE INBOX.Old")
                assert any(b"INBOX.Old" in line for line in wire.ok('LIST "" *'))
                message = unique_message()
                wire.send(b"x APPEND INBOX {%d}\r\n" % len(message))
                assert wire.line().startswith(b"+")
                wire.send(message + b"\r\n")
                assert wire.until(b"x")[-1].startswith(b"x OK")
                assert b"* 1 EXISTS" in wire.ok("SELECT INBOX")
    finally:
        old.stop()
