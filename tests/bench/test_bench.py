"""The harness itself: what it counts and prints. No server is started and nothing is timed."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.bench import flows
from tests.bench.load import Client, timed
from tests.bench.mail import Plan, mailbox_names, make_accounts, message, stored_password
from tests.bench.measure import cpu_ms, pss_kib, tree
from tests.bench.report import Results, as_json, as_markdown, ratio
from tests.bench.workloads import WORKLOADS, Sample


def test_messages_are_the_same_for_the_same_number() -> None:
    wire = message(7)
    assert wire == message(7) != message(8)
    assert 3500 < len(wire) < 4500
    assert wire.count(b"\n") == wire.count(b"\r\n")
    assert b"\r\n." not in wire


def test_every_user_has_a_maildir(tmp_path: Path) -> None:
    plan = Plan(fetch=3, large=5, idle=2)
    owner = (os.geteuid(), os.getegid())
    homes = make_accounts(tmp_path / "mail", tmp_path / "seed", plan, owner)
    assert set(homes) == set(plan.users())
    assert len(mailbox_names(homes["fetch"])) == 3
    assert len(mailbox_names(homes["large"])) == 5
    name = mailbox_names(homes["fetch"])[0]
    size = (homes["fetch"] / "Maildir" / "cur" / name).stat().st_size
    assert f",S={size}," in name
    assert stored_password().startswith("{SHA256}")


def test_costs_of_this_process() -> None:
    me = os.getpid()
    assert me in tree([me])
    assert cpu_ms([me]) > 0
    assert pss_kib([me]) > 1000


@pytest.mark.parametrize(
    ("kind", "mark", "answer", "whole"),
    [
        (flows.LINES, 2, b"a\r\n", False),
        (flows.LINES, 2, b"a\r\nb\r\n", True),
        (flows.SMTP, 0, b"250-a\r\n", False),
        (flows.SMTP, 0, b"250-a\r\n250 b\r\n", True),
        (flows.DOT, 0, b"+OK\r\nx\r\n", False),
        (flows.DOT, 0, b"+OK\r\nx\r\n.\r\n", True),
        (flows.DOT, 0, b"-ERR x\r\n", True),
        (flows.TAGGED, b"b ", b"* a\r\n", False),
        (flows.TAGGED, b"b ", b"* a\r\nb OK\r\n", True),
    ],
)
def test_where_an_answer_ends(kind: int, mark: int | bytes, answer: bytes, whole: bool) -> None:
    client = Client(flows.imap_login("x"), lambda error: None)
    client.kind, client.mark = kind, mark
    assert client.complete(answer) is whole


async def test_a_timed_session_against_a_small_server() -> None:
    lines: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        while line := await reader.readline():
            lines.append(line)
            writer.write(b"* 3 EXISTS\r\n" + line.split()[0] + b" OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        result = await timed(
            {
                "host": "127.0.0.1",
                "port": server.sockets[0].getsockname()[1],
                "user": "fetch",
                "before": ["SELECT INBOX"],
                "command": "NOOP",
                "count": 2,
            }
        )
    assert len(result["milliseconds"]) == 2
    assert not result["errors"]
    assert lines[1:4] == [b"b SELECT INBOX\r\n", b"c NOOP\r\n", b"d LOGOUT\r\n"]


def test_report() -> None:
    results = Results(Plan(), 2)
    results.add("lmtp", "restante", Sample({"per_second": 300.0, "cpu_ms_each": 1.0}))
    results.add("lmtp", "restante", Sample({"per_second": 100.0, "cpu_ms_each": 1.0}, ["odd"]))
    results.add("lmtp", "dovecot", Sample({"per_second": 50.0, "cpu_ms_each": 4.0}))
    results.add("select", "restante", Sample({"median_ms": 2.0}))
    results.add("select", "dovecot", Sample({"median_ms": 1.0}))
    peers = ["restante", "dovecot"]
    text = as_markdown(results, WORKLOADS, peers)
    assert "**4.00x**" in text
    assert "**0.50x**" in text
    assert "lmtp, restante: odd" in text
    data = json.loads(json.dumps(as_json(results, WORKLOADS, peers)))
    assert data["workloads"]["lmtp"]["peers"]["dovecot"]["ratio"] == 4.0
    assert ratio(WORKLOADS[0], {}, {"per_second": 1.0}) is None
