"""POP3 sessions at the wire, without store and auth: RFC 1939, 2449, 5034, 6856."""

import asyncio
import base64

import pytest

from restante.model import ErrorKind, MailError
from restante.runtime.limits import ConnectionLimits
from tests.services.pop3.fakes import ADDRESS, PASSWORD, FakeBackend, Server

MESSAGES = [
    b"Subject: one\r\n\r\nfirst\r\nsecond\r\n",
    b"Subject: two\r\n\r\n.dot\r\n..\r\n.\r\n",
    b"Subject: three\r\n\r\n" + b"x" * 100 + b"\r\n",
]


async def test_a_whole_session() -> None:
    backend = FakeBackend(MESSAGES)
    async with Server(backend) as server:
        client = await server.log_in()
        assert await client.ask(b"STAT") == b"+OK 3 180"
        client.send(b"LIST\r\n")
        assert await client.line() == b"+OK scan listing follows"
        assert await client.block() == [b"1 31", b"2 29", b"3 120"]
        assert await client.ask(b"LIST 2") == b"+OK 2 29"
        client.send(b"UIDL\r\n")
        await client.line()
        assert await client.block() == [b"1 base1", b"2 base2", b"3 base3"]
        assert await client.ask(b"UIDL 3") == b"+OK 3 base3"
        assert await client.ask(b"RETR 2") == b"+OK 29 octets follow."
        assert await client.block() == [b"Subject: two", b"", b"..dot", b"...", b".."]
        assert await client.ask(b"TOP 1 1") == b"+OK headers follow."
        assert await client.block() == [b"Subject: one", b"", b"first"]
        assert await client.ask(b"DELE 1") == b"+OK Deleted."
        assert await client.ask(b"DELE 1") == b"-ERR Invalid message number."
        assert await client.ask(b"RETR 1") == b"-ERR Invalid message number."
        assert await client.ask(b"STAT") == b"+OK 2 149"
        assert await client.ask(b"RSET") == b"+OK Resurrected."
        assert await client.ask(b"DELE 3") == b"+OK Deleted."
        assert await client.ask(b"NOOP") == b"+OK"
        assert await client.ask(b"QUIT") == b"+OK Bye-bye."
        assert await client.ended()
    assert backend.mailbox.removed == [3]
    assert backend.mailbox.seen == [2]
    assert backend.mailbox.users == 0


async def test_a_login_that_may_only_read_removes_and_marks_nothing() -> None:
    backend = FakeBackend(MESSAGES)
    backend.read_only = True
    async with Server(backend) as server:
        client = await server.log_in()
        assert await client.ask(b"DELE 1") == b"-ERR This login may read, and change nothing."
        assert await client.ask(b"RETR 1") == b"+OK 31 octets follow."
        await client.block()
        assert await client.ask(b"STAT") == b"+OK 3 180"
        assert await client.ask(b"QUIT") == b"+OK Bye-bye."
    assert backend.mailbox.removed == []
    assert backend.mailbox.seen == []


async def test_nothing_is_removed_without_quit() -> None:
    backend = FakeBackend(MESSAGES)
    async with Server(backend) as server:
        client = await server.log_in()
        await client.ask(b"DELE 1")
        client.writer.close()
    assert backend.mailbox.removed == []
    assert backend.mailbox.users == 0


async def test_a_failing_update_is_told() -> None:
    backend = FakeBackend(MESSAGES)
    async with Server(backend) as server:
        client = await server.log_in()
        await client.ask(b"DELE 1")
        backend.mailbox.fault = MailError(ErrorKind.TEMPORARY)
        reply = await client.ask(b"QUIT")
        assert reply == b"-ERR [SYS/TEMP] Some deleted messages were not removed."
        assert await client.ended()


async def test_retr_does_not_mark_when_it_shall_not() -> None:
    backend = FakeBackend(MESSAGES, mark_seen=False)
    async with Server(backend) as server:
        client = await server.log_in()
        await client.ask(b"RETR 1")
        await client.block()
        await client.ask(b"QUIT")
    assert backend.mailbox.seen == []


async def test_pipelining_one_hop_for_a_burst() -> None:
    backend = FakeBackend([b"A: %d\r\n\r\n" % n for n in range(20)])
    async with Server(backend) as server:
        client = await server.connect()
        burst = b"".join(b"RETR %d\r\n" % n for n in range(1, 21))
        client.send(f"USER {ADDRESS}\r\nPASS {PASSWORD}\r\nSTAT\r\n".encode() + burst + b"QUIT\r\n")
        assert [await client.line() for _ in range(4)][-1] == b"+OK 20 170"
        for n in range(20):
            assert (await client.line()).startswith(b"+OK")
            assert await client.block() == [b"A: %d" % n, b""]
        assert await client.line() == b"+OK Bye-bye."
    assert backend.mailbox.reads == list(range(1, 21))
    assert backend.hops <= 4  # login, one or two bursts, QUIT


async def test_a_walk_is_read_ahead() -> None:
    backend = FakeBackend([b"A: %d\r\n\r\n" % n for n in range(10)])
    async with Server(backend) as server:
        client = await server.log_in()
        for n in range(1, 11):
            await client.ask(b"RETR %d" % n)
            await client.block()
        assert backend.hops == 2


async def test_read_ahead_is_bounded_in_octets() -> None:
    backend = FakeBackend([b"A: b\r\n\r\n" + b"x\r\n" * 33_000 for _ in range(10)])
    async with Server(backend) as server:
        client = await server.log_in()
        client.send(b"RETR 1\r\n")
        await client.line()
        await client.block()
        assert backend.mailbox.reads == [1, 2]


async def test_a_large_message_is_streamed() -> None:
    wire = b"A: b\r\n\r\n" + b".123456789 123456789\r\n" * 100_000
    backend = FakeBackend([wire])
    async with Server(backend) as server:
        client = await server.log_in()
        assert await client.ask(b"RETR 1") == b"+OK %d octets follow." % len(wire)
        lines = await client.block()
        assert len(lines) == 100_002
        assert set(lines[2:]) == {b"..123456789 123456789"}


async def test_a_message_that_another_session_removed() -> None:
    backend = FakeBackend(MESSAGES)
    async with Server(backend) as server:
        client = await server.log_in()
        del backend.mailbox.messages[2]
        assert await client.ask(b"RETR 2") == b"-ERR The message is gone."
        assert await client.ask(b"UIDL 2") == b"+OK 2 base2"
        assert (await client.ask(b"RETR 3")).startswith(b"+OK")


async def test_a_disk_that_fails() -> None:
    backend = FakeBackend(MESSAGES)
    async with Server(backend) as server:
        client = await server.log_in()
        backend.mailbox.fault = MailError(ErrorKind.TEMPORARY, "the mailbox is not available")
        assert await client.ask(b"RETR 1") == b"-ERR [SYS/TEMP] the mailbox is not available"
        assert await client.ask(b"NOOP") == b"+OK"


async def test_capa() -> None:
    async with Server(FakeBackend(login_delay=10, expire="30")) as server:
        client = await server.connect()
        await client.line()
        client.send(b"CAPA\r\n")
        assert await client.line() == b"+OK Capability list follows"
        assert set(await client.block()) == {
            b"TOP",
            b"UIDL",
            b"USER",
            b"SASL PLAIN LOGIN",
            b"PIPELINING",
            b"RESP-CODES",
            b"AUTH-RESP-CODE",
            b"EXPIRE 30",
            b"LOGIN-DELAY 10",
            b"UTF8 USER",
            b"LANG",
            b"IMPLEMENTATION Restante",
        }


async def test_utf8_and_lang() -> None:
    async with Server(FakeBackend()) as server:
        client = await server.connect()
        await client.line()
        assert await client.ask(b"UTF8") == b"+OK UTF8 enabled"
        client.send(b"LANG\r\n")
        await client.line()
        assert await client.block() == [b"en English"]
        assert await client.ask(b"LANG *") == b"+OK en English it is"
        assert await client.ask(b"LANG EN-gb") == b"+OK en English it is"
        assert (await client.ask(b"LANG fr")).startswith(b"-ERR")


@pytest.mark.parametrize(
    "command", [b"STAT", b"LIST", b"RETR 1", b"TOP 1 1", b"DELE 1", b"UIDL", b"RSET"]
)
async def test_nothing_before_the_login(command: bytes) -> None:
    async with Server(FakeBackend(MESSAGES)) as server:
        client = await server.connect()
        await client.line()
        assert await client.ask(command) == b"-ERR Command is not valid in this state."


@pytest.mark.parametrize("command", [b"USER x", b"PASS x", b"AUTH PLAIN", b"STLS"])
async def test_no_second_login(command: bytes) -> None:
    async with Server(FakeBackend(MESSAGES)) as server:
        client = await server.log_in()
        assert await client.ask(command) == b"-ERR Command is not valid in this state."
        assert await client.ask(b"STAT") == b"+OK 3 180"


@pytest.mark.parametrize(
    "command",
    [
        b"RETR",
        b"RETR 0",
        b"RETR -1",
        b"RETR 4",
        b"RETR 1 2",
        b"RETR x",
        b"RETR 99999999999999999999",
        "RETR \u0661".encode(),
        b"DELE 4",
        b"LIST 4",
        b"UIDL 0",
        b"TOP 1",
        b"TOP 1 -1",
        b"TOP 4 1",
        b"TOP 1 2 3",
        b"FOO",
        b"",
        b"APOP fred 0123",
    ],
)
async def test_bad_arguments(command: bytes) -> None:
    async with Server(FakeBackend(MESSAGES)) as server:
        client = await server.log_in()
        assert (await client.ask(command)).startswith(b"-ERR")
        assert await client.ask(b"STAT") == b"+OK 3 180"


async def test_an_empty_mailbox() -> None:
    async with Server(FakeBackend()) as server:
        client = await server.log_in()
        assert await client.ask(b"STAT") == b"+OK 0 0"
        client.send(b"LIST\r\nUIDL\r\n")
        await client.line()
        assert await client.block() == []
        await client.line()
        assert await client.block() == []


# --- logging in -------------------------------------------------------------------------------


def plain(user: str, password: str) -> bytes:
    return base64.b64encode(f"\0{user}\0{password}".encode())


async def test_auth_plain_with_and_without_initial_response() -> None:
    async with Server(FakeBackend()) as server:
        for steps in ([b"AUTH PLAIN " + plain(ADDRESS, PASSWORD)], [b"AUTH plain"]):
            client = await server.connect()
            await client.line()
            reply = await client.ask(steps[0])
            if len(steps[0]) < 20:
                assert reply == b"+ "
                reply = await client.ask(plain(ADDRESS, PASSWORD))
            assert reply == b"+OK logged in."


async def test_auth_login_pipelined() -> None:
    async with Server(FakeBackend(MESSAGES)) as server:
        client = await server.connect()
        await client.line()
        user, secret = (base64.b64encode(t.encode()) for t in (ADDRESS, PASSWORD))
        client.send(b"AUTH LOGIN\r\n" + user + b"\r\n" + secret + b"\r\nSTAT\r\n")
        assert await client.line() == b"+ VXNlcm5hbWU6"
        assert await client.line() == b"+ UGFzc3dvcmQ6"
        assert await client.line() == b"+OK logged in."
        assert await client.line() == b"+OK 3 180"


async def test_auth_abort_and_bad_answers() -> None:
    backend = FakeBackend(max_login_failures=3)
    async with Server(backend) as server:
        client = await server.connect()
        await client.line()
        await client.ask(b"AUTH PLAIN")
        assert await client.ask(b"*") == b"-ERR Authentication aborted."
        await client.ask(b"AUTH LOGIN")
        assert await client.ask(b"%%%") == b"-ERR Invalid base64."
        assert (await client.ask(b"AUTH CRAM-MD5")).startswith(b"-ERR")
        impostor = base64.b64encode(f"boss\0{ADDRESS}\0{PASSWORD}".encode())
        refusal = b"-ERR [AUTH] Acting as another user is not allowed."
        assert await client.ask(b"AUTH PLAIN " + impostor) == refusal
        assert await client.ended()


async def test_auth_alone_lists_mechanisms() -> None:
    async with Server(FakeBackend()) as server:
        client = await server.connect()
        await client.line()
        client.send(b"AUTH\r\n")
        await client.line()
        assert await client.block() == [b"PLAIN", b"LOGIN"]


async def test_a_password_keeps_its_blanks() -> None:
    backend = FakeBackend()
    async with Server(backend) as server:
        client = await server.connect()
        await client.line()
        client.send(b"USER fred\r\nPASS  a  b \r\n")
        await client.line()
        assert await client.line() == b"-ERR [AUTH] Login failed."
    assert backend.asked == [("fred", " a  b ", "login", False)]


async def test_pass_needs_user_each_time() -> None:
    async with Server(FakeBackend()) as server:
        client = await server.connect()
        await client.line()
        assert await client.ask(b"PASS x") == b"-ERR USER/PASS required."
        await client.ask(b"USER fred")
        assert await client.ask(b"PASS x") == b"-ERR [AUTH] Login failed."
        assert await client.ask(b"PASS x") == b"-ERR USER/PASS required."


async def test_auth_service_down_is_no_wrong_password() -> None:
    backend = FakeBackend(max_login_failures=1)
    backend.fault = MailError(ErrorKind.TEMPORARY, "the auth service cannot be reached")
    async with Server(backend) as server:
        client = await server.connect()
        await client.line()
        await client.ask(f"USER {ADDRESS}".encode())
        reply = await client.ask(f"PASS {PASSWORD}".encode())
        assert reply == b"-ERR [SYS/TEMP] Temporary problem, please try again later"
        backend.fault = None
        await client.ask(f"USER {ADDRESS}".encode())
        assert await client.ask(f"PASS {PASSWORD}".encode()) == b"+OK logged in."


@pytest.mark.parametrize(
    ("options", "disabled", "words"),
    [
        ("disablepop3=1", False, b"-ERR POP3 access disabled for this account."),
        ("", True, b"-ERR POP3 access disabled for this account."),
        (
            "disableinsecurepop3=1",
            False,
            b"-ERR POP3 access disabled via insecure connection.",
        ),
        ("disablepop3=0,disableimap=1", False, b"+OK logged in."),
    ],
)
async def test_couriers_words(options: str, disabled: bool, words: bytes) -> None:
    backend = FakeBackend()
    backend.options, backend.disabled = options, disabled
    async with Server(backend) as server:
        client = await server.connect()
        await client.line()
        await client.ask(f"USER {ADDRESS}".encode())
        assert await client.ask(f"PASS {PASSWORD}".encode()) == words
        if words.startswith(b"-ERR"):
            assert await client.ended()


async def test_login_delay() -> None:
    backend = FakeBackend()
    backend.is_early = True
    async with Server(backend) as server:
        client = await server.connect()
        await client.line()
        await client.ask(f"USER {ADDRESS}".encode())
        reply = await client.ask(f"PASS {PASSWORD}".encode())
        assert reply == b"-ERR [LOGIN-DELAY] Too soon after the last login."
        assert await client.ended()


async def test_tls_required() -> None:
    backend = FakeBackend(tls_required=True)
    async with Server(backend) as server:
        client = await server.connect()
        await client.line()
        assert await client.ask(b"USER fred") == b"-ERR TLS required to log in."
        assert await client.ask(b"PASS secret") == b"-ERR TLS required to log in."
        assert await client.ask(b"AUTH PLAIN AGEAYg==") == b"-ERR TLS required to log in."
        client.send(b"CAPA\r\n")
        await client.line()
        assert not {b"USER", b"SASL PLAIN LOGIN"} & set(await client.block())
    assert backend.asked == []


# --- limits -----------------------------------------------------------------------------------


async def test_too_many_bad_commands() -> None:
    async with Server(FakeBackend(max_bad_commands=3)) as server:
        client = await server.connect()
        await client.line()
        client.send(b"FOO\r\n" + b"x" * 70_000 + b"\r\nUSER a\0b\r\n")
        assert await client.line() == b"-ERR Invalid command."
        assert await client.line() == b"-ERR Line is too long."
        assert await client.line() == b"-ERR Too many bad commands."
        assert await client.ended()


async def test_slowloris_meets_the_login_timeout() -> None:
    async with Server(FakeBackend(login_timeout=1)) as server:
        client = await server.connect()
        await client.line()

        async def drip() -> None:
            while True:
                client.send(b"U")
                await asyncio.sleep(0.2)

        dripping = asyncio.create_task(drip())
        assert await client.ended()
        dripping.cancel()


async def test_autologout_removes_nothing() -> None:
    backend = FakeBackend(MESSAGES, idle_timeout=1)
    async with Server(backend) as server:
        client = await server.log_in()
        await client.ask(b"DELE 1")
        assert await client.ended()
    assert backend.mailbox.removed == []


async def test_sessions_per_user() -> None:
    async with Server(FakeBackend(), ConnectionLimits(per_user=1)) as server:
        first = await server.log_in()
        second = await server.connect()
        await second.line()
        await second.ask(f"USER {ADDRESS}".encode())
        reply = await second.ask(f"PASS {PASSWORD}".encode())
        assert reply == b"-ERR [SYS/TEMP] Too many sessions of this account."
        assert await second.ended()
        assert await first.ask(b"NOOP") == b"+OK"


async def test_connections_per_address() -> None:
    async with Server(FakeBackend(), ConnectionLimits(per_address=1)) as server:
        first = await server.connect()
        await first.line()
        second = await server.connect()
        assert (await second.line()).startswith(b"-ERR [SYS/TEMP] Too many connections")
        assert await second.ended()


async def test_drain_lets_a_session_quit() -> None:
    backend = FakeBackend(MESSAGES)
    async with Server(backend) as server:
        idle = await server.connect()
        await idle.line()
        client = await server.log_in()
        await client.ask(b"DELE 1")
        draining = asyncio.create_task(server.listener.drain(10))
        assert await idle.line() == b"-ERR [SYS/TEMP] Server is shutting down."
        assert await client.ask(b"STAT") == b"+OK 2 149"
        assert await client.ask(b"QUIT") == b"+OK Bye-bye."
        await draining
    assert backend.mailbox.removed == [1]
