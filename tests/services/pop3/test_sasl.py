"""AUTH with more than PLAIN: what is offered, refused, and told in which order."""

import base64
import json
from typing import Any

from tests.services.pop3.fakes import ADDRESS, PASSWORD, TOKEN, Client, FakeBackend, Server


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def bearer(token: str = TOKEN) -> bytes:
    return b64(f"n,a={ADDRESS},\1auth=Bearer {token}\1\1".encode())


async def greeted(server: Server) -> Client:
    client = await server.connect()
    await client.line()
    return client


def backend(**settings: Any) -> FakeBackend:
    return FakeBackend([b"Subject: x\r\n\r\n"], **settings)


async def test_offers_follow_the_setting() -> None:
    fake = backend(sasl_mechanisms="SCRAM-SHA-256 OAUTHBEARER EXTERNAL")
    async with Server(fake) as server:
        client = await greeted(server)
        await client.ask(b"CAPA")
        capa = await client.block()
        assert b"SASL SCRAM-SHA-256 OAUTHBEARER" in capa
        assert b"USER" not in capa
        await client.ask(b"AUTH")
        assert await client.block() == [b"SCRAM-SHA-256", b"OAUTHBEARER"]
        assert await client.ask(b"USER fred") == b"-ERR Passwords are not taken here, use AUTH."
        plain = b64(f"\0{ADDRESS}\0{PASSWORD}".encode())
        assert (await client.ask(b"AUTH PLAIN " + plain)).startswith(b"-ERR Unsupported")
        assert (await client.ask(b"AUTH EXTERNAL =")).startswith(b"-ERR Unsupported")
        assert fake.asked == []
        assert await client.ask(b"AUTH OAUTHBEARER " + bearer()) == b"+OK logged in."


async def test_challenges_may_come_before_tls_where_secrets_may_not() -> None:
    fake = backend(sasl_mechanisms="SCRAM-SHA-256 CRAM-MD5 PLAIN XOAUTH2", tls_required=True)
    async with Server(fake) as server:
        client = await greeted(server)
        await client.ask(b"CAPA")
        capa = await client.block()
        assert b"SASL SCRAM-SHA-256 CRAM-MD5" in capa
        assert b"USER" not in capa
        for line in (b"AUTH PLAIN", b"AUTH XOAUTH2", b"USER fred"):
            assert await client.ask(line) == b"-ERR TLS required to log in."
        challenge = base64.b64decode((await client.ask(b"AUTH CRAM-MD5"))[2:])
        assert challenge.startswith(b"<")
        assert (await client.ask(b"*")).startswith(b"-ERR Authentication aborted.")


async def test_a_refused_token_is_explained_first() -> None:
    fake = backend(sasl_mechanisms="OAUTHBEARER", max_login_failures=3)
    async with Server(fake) as server:
        client = await greeted(server)
        for dummy in (b"AQ==", b"*"):
            told = await client.ask(b"AUTH OAUTHBEARER " + bearer("other"))
            assert json.loads(base64.b64decode(told[2:]))["status"] == "invalid_token"
            assert await client.ask(dummy) == b"-ERR [AUTH] Authentication failed."
        # The last failure that is allowed ends it at once.
        last = await client.ask(b"AUTH OAUTHBEARER " + bearer("other"))
        assert last == b"-ERR [AUTH] Authentication failed."
        assert await client.ended()


async def test_every_split() -> None:
    fake = backend(sasl_mechanisms="OAUTHBEARER", max_login_failures=100)
    stream = b"AUTH OAUTHBEARER\r\n" + bearer("other") + b"\r\nAQ==\r\nNOOP\r\n"
    async with Server(fake) as server:
        client = await greeted(server)
        for cut in range(1, len(stream), 3):
            client.send(stream[:cut])
            await client.writer.drain()
            client.send(stream[cut:])
            for start in (b"+ ", b"+ ", b"-ERR [AUTH]", b"+OK"):
                assert (await client.line()).startswith(start)


async def test_pipelined_commands_wait_for_the_end_of_an_exchange() -> None:
    fake = backend(sasl_mechanisms="OAUTHBEARER")
    async with Server(fake) as server:
        client = await greeted(server)
        client.send(b"AUTH OAUTHBEARER " + bearer("x") + b"\r\nNOOP\r\nNOOP\r\n")
        assert (await client.line()).startswith(b"+ ")
        assert (await client.line()).startswith(b"-ERR [AUTH]")  # the first NOOP was the dummy
        assert await client.line() == b"+OK"
