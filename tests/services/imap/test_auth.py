"""LOGIN, AUTHENTICATE, STARTTLS, ENABLE and what is advertised when."""

import base64
from collections.abc import Callable

import pytest

from tests.services.imap.server import PASSWORD, Server
from tests.services.imap.wire import Wire, text

JOE = "joe@example.test"
Start = Callable[..., Server]


def plain(user: str = JOE, password: str = PASSWORD, acting: str = "") -> str:
    return base64.b64encode(f"{acting}\0{user}\0{password}".encode()).decode()


def advertised(wire: Wire) -> set[str]:
    (line,) = wire.ok("CAPABILITY")
    return set(line.decode().split()[2:])


def test_capabilities_differ_before_tls_before_login_and_after(start: Start) -> None:
    server = start(tls_required=True)
    with server.connect() as wire:
        assert b"[CAPABILITY IMAP4rev1 " in wire.greeting
        assert b"STARTTLS LOGINDISABLED" in wire.greeting
        before = advertised(wire)
        assert {"STARTTLS", "LOGINDISABLED"} <= before
        assert "AUTH=PLAIN" not in before
        assert "IDLE" not in before
        wire.ok("STARTTLS")
        wire.start_tls()
        inside = advertised(wire)
        assert {"AUTH=PLAIN", "AUTH=LOGIN", "SASL-IR", "LITERAL+"} <= inside
        assert not {"STARTTLS", "LOGINDISABLED"} & inside
        last = wire.run(f'LOGIN {JOE} "{PASSWORD}"')[-1]
        assert last.startswith(b"OK [CAPABILITY IMAP4rev1 ")
        after = advertised(wire)
        assert {"IDLE", "MOVE", "UIDPLUS", "CONDSTORE", "QUOTA", "SPECIAL-USE"} <= after
        assert not {"AUTH=PLAIN", "STARTTLS", "LOGINDISABLED"} & after


def test_no_starttls_inside_tls(server: Server) -> None:
    with server.connect(tls=True) as wire:
        assert "STARTTLS" not in advertised(wire)
        wire.bad("STARTTLS")


@pytest.mark.parametrize(
    "command", [f'LOGIN {JOE} "{PASSWORD}"', f"AUTHENTICATE PLAIN {plain()}", "AUTHENTICATE LOGIN"]
)
def test_password_in_clear_is_refused_unseen_where_tls_is_required(
    start: Start, command: str
) -> None:
    server = start(tls_required=True)
    with server.connect() as wire:
        assert b"[PRIVACYREQUIRED]" in wire.no(command)
        assert server.accounts.asked == []


def test_login_with_quoted_and_literal_arguments(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"a LOGIN {16}\r\n")
        assert wire.line() == b"+ OK"
        wire.send(JOE.encode() + b" {11+}\r\nsecret word\r\n")
        assert wire.until(b"a")[-1].startswith(b"a OK")


@pytest.mark.parametrize("user", [JOE, "nobody@example.test"])
def test_wrong_password_and_unknown_user_read_alike(server: Server, user: str) -> None:
    with server.connect() as wire:
        answer = wire.no(f"LOGIN {user} wrong")
        assert answer == b"NO [AUTHENTICATIONFAILED] Authentication failed."
        wire.ok(f'LOGIN {JOE} "{PASSWORD}"')


def test_auth_service_down_is_temporary(server: Server) -> None:
    server.accounts.down = True
    with server.connect() as wire:
        assert b"[UNAVAILABLE]" in wire.no(f'LOGIN {JOE} "{PASSWORD}"')
        server.accounts.down = False
        wire.ok(f'LOGIN {JOE} "{PASSWORD}"')


def test_authenticate_plain_in_two_steps_and_at_once(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"a AUTHENTICATE PLAIN\r\n")
        assert wire.line() == b"+ "
        wire.send(plain().encode() + b"\r\n")
        assert wire.line().startswith(b"a OK")
    with server.connect() as wire:
        wire.ok(f"AUTHENTICATE PLAIN {plain()}")


def test_authenticate_login(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"a AUTHENTICATE LOGIN\r\n")
        assert base64.b64decode(wire.line()[2:]) == b"Username:"
        wire.send(base64.b64encode(JOE.encode()) + b"\r\n")
        assert base64.b64decode(wire.line()[2:]) == b"Password:"
        wire.send(base64.b64encode(PASSWORD.encode()) + b"\r\n")
        assert wire.line().startswith(b"a OK")


def test_authenticate_can_be_given_up(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"a AUTHENTICATE PLAIN\r\n")
        wire.line()
        wire.send(b"*\r\n")
        assert wire.line().startswith(b"a BAD")
        wire.ok(f"AUTHENTICATE PLAIN {plain()}")


def test_authenticate_refuses_other_mechanisms_and_other_identities(server: Server) -> None:
    with server.connect() as wire:
        assert b"[CANNOT]" in wire.no("AUTHENTICATE GSSAPI")
        assert b"[AUTHORIZATIONFAILED]" in wire.no(
            f"AUTHENTICATE PLAIN {plain(acting='eve@example.test')}"
        )
        wire.ok("NOOP")
        wire.bad("SELECT INBOX")


def test_starttls_drops_what_was_sent_in_clear(server: Server) -> None:
    """CVE-2021-33515: a command behind STARTTLS must not be answered inside TLS."""
    with server.connect() as wire:
        wire.send(b"a STARTTLS\r\nb NOOP\r\nc LOGOUT\r\n")
        assert wire.line().startswith(b"a OK")
        wire.start_tls()
        assert wire.run("NOOP") == [b"OK NOOP completed."]


def test_states(server: Server) -> None:
    with server.connect() as wire:
        for command in ("SELECT INBOX", "FETCH 1 FLAGS", 'LIST "" *', "IDLE", "ENABLE CONDSTORE"):
            wire.bad(command)
    with server.login() as wire:
        for command in (f'LOGIN {JOE} "{PASSWORD}"', "STARTTLS", "AUTHENTICATE PLAIN", "CLOSE"):
            wire.bad(command)
        wire.ok("SELECT INBOX")


def test_courier_words_for_disabled_imap(server: Server) -> None:
    server.accounts.add("off@example.test", options="disableimap=1")
    with server.connect() as wire:
        lines = wire.run(f'LOGIN off@example.test "{PASSWORD}"')
        assert lines[0] == b"* BYE IMAP access disabled for this account."
        assert lines[-1].startswith(b"NO")
        assert wire.ended()


def test_courier_words_for_insecure_imap(server: Server) -> None:
    server.accounts.add("tls@example.test", options="disableinsecureimap=1")
    with server.connect() as wire:
        lines = wire.run(f'LOGIN tls@example.test "{PASSWORD}"')
        assert lines[0] == b"* BYE IMAP access disabled via insecure connection."
        assert wire.ended()
    with server.connect(tls=True) as wire:
        wire.ok(f'LOGIN tls@example.test "{PASSWORD}"')


def test_connections_of_a_user_are_limited(start: Start) -> None:
    server = start(max_connections_per_user=2)
    one, two = server.login(), server.login()
    with server.connect() as wire:
        lines = wire.run(f'LOGIN {JOE} "{PASSWORD}"')
        assert b"too many connections" in lines[0]
        assert lines[-1].startswith(b"NO [LIMIT]")
        assert wire.ended()
    one.ok("LOGOUT")
    assert one.ended()
    with server.connect() as wire:
        wire.ok(f'LOGIN {JOE} "{PASSWORD}"')
    two.close()


def test_connections_of_an_address_are_limited(start: Start) -> None:
    server = start(max_connections_per_address=1)
    with server.connect(), server.connect() as second:
        assert second.greeting.startswith(b"* BYE [UNAVAILABLE] Too many connections")
        assert second.ended()


def test_too_many_failed_logins_end_the_connection(start: Start) -> None:
    server = start(max_login_failures=2)
    with server.connect() as wire:
        wire.no(f"LOGIN {JOE} wrong")
        assert b"* BYE" in text(wire.run(f"LOGIN {JOE} wrong")).encode()
        assert wire.ended()


def test_login_timeout(start: Start) -> None:
    server = start(login_timeout=1)
    with server.connect() as wire:
        assert wire.line().startswith(b"* BYE Login took too long")
        assert wire.ended()


def test_enable(server: Server) -> None:
    with server.login() as wire:
        assert wire.ok("ENABLE CONDSTORE X-UNKNOWN") == [b"* ENABLED CONDSTORE"]
        assert wire.ok("ENABLE X-UNKNOWN") == [b"* ENABLED"]
