"""LMTP at the wire, into real Maildirs: RFC 2033, 5321 and the extensions of LHLO."""

import asyncio
import re
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from tests.services.delivery.worker import ANN, FRED, Client, Worker

MESSAGE = b"Subject: hello\r\n\r\nFirst line\r\n..dot\r\n.\r\n"


def body(message: bytes) -> bytes:
    return message.partition(b"\n\n")[2]


async def test_one_message(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        assert await client.deliver(MESSAGE) == [250]
        (stored,) = worker.messages()
        assert re.fullmatch(
            rb"Return-Path: <bob@x\.test>\n"
            rb"Delivered-To: fred@example\.test\n"
            rb"Received: from client\.test \(\[127\.0\.0\.1\]\)\n"
            rb"\tby mx\.test \(Restante\) with LMTP id [0-9a-f]{16}\n"
            rb"\tfor <fred@example\.test>; \w{3}, \d+ \w{3} \d{4} \d\d:\d\d:\d\d \+0000\n"
            rb"Subject: hello\n\nFirst line\n\.dot\n",
            stored,
        )
        assert worker.left_in_tmp() == []
        assert (await client.ask("QUIT"))[0] == 221
        assert await client.ended()


async def test_lhlo(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.connect()
        code, text = await client.reply()
        assert (code, text.split()[0]) == (220, "mx.test")
        assert (await client.ask("MAIL FROM:<>"))[0] == 503
        code, text = await client.ask("LHLO client.test")
        assert code == 250
        assert text.split("\n")[1:] == [
            "PIPELINING",
            "SIZE 67108864",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "DSN",
            "IGNOREQUOTA",
        ]
        assert (await client.ask("EHLO client.test"))[0] == 500
        assert (await client.ask("HELO client.test"))[0] == 500
        assert (await client.ask("STARTTLS"))[0] == 454
        assert (await client.ask("XCLIENT ADDR=192.0.2.1"))[0] == 550
        assert (await client.ask("VRFY fred"))[0] == 252


async def test_everything_pipelined(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.connect()
        transaction = b"MAIL FROM:<>\r\nRCPT TO:<fred@example.test>\r\nDATA\r\n" + MESSAGE
        client.send(b"LHLO x\r\n" + transaction * 3 + b"QUIT\r\n")
        codes = []
        while (reply := await client.reply())[0]:
            codes.append(reply[0])
        assert codes == [220, 250, *([250, 250, 354, 250] * 3), 221]
        assert len(worker.messages()) == 3


async def test_a_reply_for_each_recipient(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        worker.add("full@example.test", "10S")
        client = await worker.greeted()
        codes = await client.deliver(MESSAGE, FRED, "nobody@example.test", "full@example.test", ANN)
        assert codes == [250, 452, 250]
        assert len(worker.messages(FRED)) == len(worker.messages(ANN)) == 1
        assert worker.messages("full@example.test") == []
        assert worker.left_in_tmp() == []


async def test_many_recipients_share_one_file(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        addresses = [f"user{n}@example.test" for n in range(20)]
        for address in addresses:
            worker.add(address)
        client = await worker.greeted()
        assert await client.deliver(MESSAGE, *addresses) == [250] * 20
        inodes = {worker.files(address)[0].stat().st_ino for address in addresses}
        assert len(inodes) == 1
        stored = worker.messages(addresses[7])[0]
        assert b"Delivered-To" not in stored
        assert b"user" not in stored


async def test_a_recipient_twice_gets_it_once(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        codes = await client.deliver(MESSAGE, FRED, ANN, FRED, "fred+lists@example.test")
        assert codes == [250] * 4
        assert len(worker.messages(FRED)) == len(worker.messages(ANN)) == 1


async def test_no_recipient_no_data(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        code, text = await client.ask("RCPT TO:<nobody@example.test>")
        assert (code, text) == (550, "5.1.1 <nobody@example.test> no such user")
        assert (await client.ask("DATA"))[0] == 503
        assert (await client.ask("RCPT TO:<fred@example.test>"))[0] == 250
        assert (await client.ask("DATA"))[0] == 354


async def test_auth_down_is_temporary(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        worker.fault = MailError(ErrorKind.TEMPORARY, "the auth service cannot be reached")
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        assert (await client.ask("RCPT TO:<fred@example.test>"))[0] == 451
        worker.fault = None
        assert (await client.ask("RCPT TO:<fred@example.test>"))[0] == 250


async def test_disk_down_is_temporary(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        (worker.root / ".restante-volume").unlink()
        client = await worker.greeted()
        assert await client.deliver(MESSAGE) == [451]
        assert worker.messages() == []


@pytest.mark.parametrize(("setting", "code"), [(452, 452), (552, 552), ("552", 552)])
async def test_over_quota(tmp_path: Path, setting: object, code: int) -> None:
    async with Worker(tmp_path, over_quota=setting) as worker:
        worker.add("full@example.test", "10S")
        client = await worker.greeted()
        assert await client.deliver(MESSAGE, "full@example.test") == [code]


async def test_ignorequota(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        worker.add("full@example.test", "10S")
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        assert (await client.ask("RCPT TO:<full@example.test> IGNOREQUOTA"))[0] == 250
        assert (await client.ask("RCPT TO:<fred@example.test>"))[0] == 250
        await client.ask("DATA")
        client.send(MESSAGE)
        assert [(await client.reply())[0] for _ in range(2)] == [250, 250]
        assert len(worker.messages("full@example.test")) == 1


async def test_ignorequota_can_be_off(tmp_path: Path) -> None:
    async with Worker(tmp_path, ignore_quota=False) as worker:
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        assert (await client.ask("RCPT TO:<fred@example.test> IGNOREQUOTA"))[0] == 555


async def test_size(tmp_path: Path) -> None:
    async with Worker(tmp_path, max_message_size=2000) as worker:
        client = await worker.greeted()
        assert (await client.ask("MAIL FROM:<> SIZE=2001"))[0] == 552
        assert await client.deliver(b"A: b\r\n\r\n" + b"x" * 2000 + b"\r\n.\r\n", FRED, ANN) == [
            552,
            552,
        ]
        assert await client.deliver(MESSAGE) == [250]
        assert len(worker.messages()) == 1
        assert worker.left_in_tmp() == []


async def test_a_large_message_goes_through_the_disk(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        text = b"".join(b"%07d .............................\r\n" % n for n in range(100_000))
        assert await client.deliver(b"A: b\r\n\r\n" + text + b".\r\n", FRED, ANN) == [250, 250]
        assert body(worker.messages()[0]) == text.replace(b"\r\n", b"\n")
        assert worker.files(FRED)[0].stat().st_ino == worker.files(ANN)[0].stat().st_ino
        assert worker.left_in_tmp() == []


async def test_a_large_message_that_gets_too_large(tmp_path: Path) -> None:
    async with Worker(tmp_path, max_message_size=1_000_000) as worker:
        client = await worker.greeted()
        assert await client.deliver(b"A: b\r\n\r\n" + b"x" * 3_000_000 + b"\r\n.\r\n") == [552]
        assert worker.messages() == []
        assert worker.left_in_tmp() == []
        assert await client.deliver(MESSAGE) == [250]


async def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        await client.ask("RCPT TO:<fred@example.test>")
        await client.ask("DATA")
        client.send(b"A: b\r\n\r\n" + b"x\r\n" * 300_000)
        await client.writer.drain()
        client.writer.close()
        await client.writer.wait_closed()
        await worker.listener.drain(5)
        assert worker.messages() == []
        assert worker.left_in_tmp() == []


async def test_chunking(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        client.send(
            b"MAIL FROM:<>\r\nRCPT TO:<fred@example.test>\r\nRCPT TO:<ann@example.test>\r\n"
        )
        client.send(b"BDAT 7\r\nA: b\r\n\rBDAT 8\r\n\n.\r\n\r\n.\rBDAT 1 LAST\r\n\n")
        codes = [(await client.reply())[0] for _ in range(7)]
        assert codes == [250] * 7
        assert body(worker.messages()[0]) == b".\n\n.\n"
        assert len(worker.messages(ANN)) == 1


async def test_chunking_out_of_order(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        client.send(b"BDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<>\r\nBDAT 6\r\nQUIT\r\n")
        assert [(await client.reply())[0] for _ in range(3)] == [503, 250, 503]
        client.send(b"RCPT TO:<fred@example.test>\r\nBDAT 8\r\nA: b\r\n\r\nDATA\r\n")
        assert [(await client.reply())[0] for _ in range(3)] == [250, 250, 503]
        assert (await client.ask("RCPT TO:<ann@example.test>"))[0] == 503
        client.send(b"BDAT 0 LAST\r\n")
        assert (await client.reply())[0] == 250
        assert len(worker.messages()) == 1
        assert worker.messages(ANN) == []


async def test_rset_and_lhlo_forget(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        for forget in ("RSET", "LHLO again.test"):
            await client.ask("MAIL FROM:<>")
            await client.ask("RCPT TO:<fred@example.test>")
            client.send(b"BDAT 3\r\nabc")
            await client.reply()
            assert (await client.ask(forget))[0] == 250
            assert (await client.ask("RCPT TO:<fred@example.test>"))[0] == 503
        assert (await client.ask("MAIL FROM:<>"))[0] == 250
        assert (await client.ask("MAIL FROM:<>"))[0] == 503
        assert worker.messages() == []


async def test_smtputf8_and_8bit(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        worker.add("frédéric@example.test")
        client = await worker.greeted()
        assert (await client.ask("MAIL FROM:<jürgen@x.test> SMTPUTF8 BODY=8BITMIME"))[0] == 250
        assert (await client.ask("RCPT TO:<frédéric@example.test>"))[0] == 250
        await client.ask("DATA")
        client.send("Subject: ü\r\n\r\né\r\n.\r\n".encode())
        code, text = await client.reply()
        assert code == 250
        assert "<frédéric@example.test>" in text
        stored = worker.messages("frédéric@example.test")[0]
        assert "Return-Path: <jürgen@x.test>\n".encode() in stored
        assert b"with UTF8LMTP id" in stored
        assert stored.endswith("Subject: ü\n\né\n".encode())


async def test_dsn_parameters_are_taken(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        assert (await client.ask("MAIL FROM:<a@b.test> RET=HDRS ENVID=QQ314159"))[0] == 250
        command = (
            "RCPT TO:<fred@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Fred@Example.Test"
        )
        assert (await client.ask(command))[0] == 250


async def test_return_path_of_others_goes(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        data = b"return-path: <evil@x>\r\nX: Return-Path: y\r\nReturn-Path:\r\n <more@x>\r\n"
        data += b"A: b\r\n\r\nReturn-Path: <body@x>\r\n.\r\n"
        assert await client.deliver(data) == [250]
        stored = worker.messages()[0]
        assert stored.startswith(b"Return-Path: <bob@x.test>\n")
        assert b"evil" not in stored
        assert b"more" not in stored
        assert b"X: Return-Path: y\n" in stored
        assert b"\n\nReturn-Path: <body@x>\n" in stored


async def test_subaddress(tmp_path: Path) -> None:
    async with Worker(tmp_path, subaddress_folders=True) as worker:
        await worker.backend.depot.pool.run(
            lambda: worker.store.open_account(worker.accounts[FRED]).ensure()
        )
        client = await worker.greeted()
        for detail in ("Archive", "none", "../x", "a.b"):
            assert await client.deliver(MESSAGE, f"fred+{detail}@example.test") == (
                [503] if "/" in detail and ".." in detail else [250]
            )
            await client.ask("RSET")
        assert len(worker.messages(FRED, ("Archive",))) == 1
        assert len(worker.messages(FRED)) == 2
        assert b"Delivered-To: fred+none@example.test\n" in b"".join(worker.messages(FRED))


async def test_an_account_with_a_plus_wins(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        worker.add("fred+own@example.test")
        client = await worker.greeted()
        assert await client.deliver(MESSAGE, "fred+own@example.test") == [250]
        assert len(worker.messages("fred+own@example.test")) == 1
        assert worker.messages(FRED) == []


@pytest.mark.parametrize(("setting", "code"), [("accept", 250), ("refuse", 550), ("defer", 451)])
async def test_disabled_accounts(tmp_path: Path, setting: str, code: int) -> None:
    async with Worker(tmp_path, disabled_accounts=setting) as worker:
        worker.add("off@example.test", disabled=True)
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        assert (await client.ask("RCPT TO:<off@example.test>"))[0] == code


async def test_tls_required(tmp_path: Path) -> None:
    async with Worker(tmp_path, tls_required=True) as worker:
        client = await worker.greeted()
        assert (await client.ask("MAIL FROM:<>"))[0] == 530


async def test_max_recipients(tmp_path: Path) -> None:
    async with Worker(tmp_path, max_recipients=1) as worker:
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        await client.ask("RCPT TO:<fred@example.test>")
        assert (await client.ask("RCPT TO:<ann@example.test>"))[0] == 452


async def test_xclient_from_a_trusted_peer(tmp_path: Path) -> None:
    async with Worker(tmp_path, trusted_peers="127.0.0.0/8") as worker:
        client = await worker.greeted()
        code, text = await client.ask(
            "XCLIENT ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE] HELO=far.test PROTO=ESMTP"
        )
        assert (code, text.split()[0]) == (220, "mx.test")
        assert (await client.ask("MAIL FROM:<>"))[0] == 503
        await client.ask("LHLO client.test")
        assert await client.deliver(MESSAGE) == [250]
        assert b"Received: from far.test ([IPv6:2001:db8::1])\n" in worker.messages()[0]
        for bad in ("ADDR=evil", "FOO=bar", "HELO=a+20b"):
            assert (await client.ask(f"XCLIENT {bad}"))[0] == 501


# --- attacks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r"]
)
@pytest.mark.parametrize("refuse", [False, True])
async def test_smuggling(tmp_path: Path, end: bytes, refuse: bool) -> None:
    smuggled = b"MAIL FROM:<evil@x>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\nevil\r\n.\r\n"
    async with Worker(tmp_path, bare_newlines="refuse" if refuse else "accept") as worker:
        client = await worker.greeted()
        codes = await client.deliver(b"Subject: x\r\n\r\nfirst" + end + smuggled)
        assert codes == ([554] if refuse else [250])
        assert (await client.ask("NOOP"))[0] == 250
        assert worker.messages(ANN) == []
        assert len(worker.messages(FRED)) == (0 if refuse else 1)


async def test_nul_is_stored_as_it_is(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        assert await client.deliver(b"Subject: a\0b\r\n\r\n\0\xff\r\n.\r\n") == [250]
        assert worker.messages()[0].endswith(b"Subject: a\0b\n\n\0\xff\n")


@pytest.mark.parametrize(
    "command",
    [
        'RCPT TO:<""@x>',
        "RCPT TO:<alice@a.org)<bob@b.org>>",
        "RCPT TO:<../bob@example.test>",
        "RCPT TO:<fred@example.test\0>",
        "NOOP \x01",
        "MAIL FROM:<evil@x.test\r>",
        "RCPT TO:fred@example.test",
    ],
)
async def test_malformed_commands_leave_the_worker_alive(tmp_path: Path, command: str) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        await client.ask("MAIL FROM:<a@b.test>")
        assert (await client.ask(command))[0] == 501
        assert (await client.ask("RCPT TO:<fred@example.test>"))[0] == 250


@pytest.mark.parametrize("local", ["../../etc", "a/../../b", "..", ".", "fred/../ann"])
async def test_names_that_look_like_paths_are_no_recipients(tmp_path: Path, local: str) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        assert (await client.ask(f'RCPT TO:<"{local}"@example.test>'))[0] == 550


async def test_a_line_of_64_kib(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        client.send(b"NOOP " + b"x" * 65536 + b"\r\n")
        assert await client.reply() == (500, "5.5.2 Line is too long")
        assert (await client.ask("NOOP"))[0] == 250


async def test_bare_lf_in_a_command(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        client.send(b"NOOP\nNOOP\r\n")
        assert await client.reply() == (500, "5.5.2 A line ends with CR LF")
        assert (await client.reply())[0] == 250


async def test_too_many_bad_commands(tmp_path: Path) -> None:
    async with Worker(tmp_path, max_bad_commands=3) as worker:
        client = await worker.greeted()
        client.send(b"FOO\r\n" * 5)
        assert [(await client.reply())[0] for _ in range(3)] == [500, 500, 421]
        assert await client.ended()


async def test_silence(tmp_path: Path) -> None:
    async with Worker(tmp_path, idle_timeout=1) as worker:
        client = await worker.greeted()
        assert (await client.reply())[0] == 421
        assert await client.ended()


async def test_drain_completes_a_transaction(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        idle = await worker.greeted()
        busy = await worker.greeted()
        await busy.ask("MAIL FROM:<>")
        await busy.ask("RCPT TO:<fred@example.test>")
        await busy.ask("DATA")
        draining = asyncio.create_task(worker.listener.drain(10))
        assert (await idle.reply())[0] == 421
        busy.send(MESSAGE)
        assert [(await busy.reply())[0] for _ in range(2)] == [250, 421]
        await draining
        assert len(worker.messages()) == 1


async def test_log_lines_cannot_be_forged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with Worker(tmp_path) as worker:
        client = await worker.greeted()
        await client.ask("MAIL FROM:<>")
        await client.ask('RCPT TO:<"x\\\\n2026 error"@example.test>')
        client.send(b'RCPT TO:<"x\x1b[31m\r"@example.test>\r\n')
        assert (await client.reply())[0] == 501
    out = capfd.readouterr()
    assert "\x1b[31m\r" not in out.out + out.err


async def test_lookups_under_way_are_shared(tmp_path: Path) -> None:
    async with Worker(tmp_path) as worker:
        clients: list[Client] = [await worker.greeted() for _ in range(5)]
        for client in clients:
            client.send(b"MAIL FROM:<>\r\nRCPT TO:<fred@example.test>\r\n")
        for client in clients:
            assert [(await client.reply())[0] for _ in range(2)] == [250, 250]
        assert worker.lookups == [FRED]
