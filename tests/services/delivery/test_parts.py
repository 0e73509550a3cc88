"""The small parts of delivery: trace fields, recipients' cache, key ledger, token."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from restante.model import INBOX, Account, Address, Envelope, ErrorKind, MailError
from restante.rpc.revocation import Reason, Revocation
from services.delivery.ledger import KEEP_DAYS, KeyLedger
from services.delivery.recipients import Recipients
from services.delivery.settings import DeliverySettings
from services.delivery.token import http_token
from services.delivery.trace import ReturnPathRemover, trace_fields

FRED = Address("fred", "example.test")


# --- trace ------------------------------------------------------------------------------------


def test_trace_of_one_recipient() -> None:
    envelope = Envelope(None, (FRED,), "2001:db8::1", "far.test", "LMTPS")
    assert trace_fields(envelope, hostname="mx", id="1", now=0) == (
        b"Return-Path: <>\r\nDelivered-To: fred@example.test\r\n"
        b"Received: from far.test ([IPv6:2001:db8::1])\r\n"
        b"\tby mx (Restante) with LMTPS id 1\r\n"
        b"\tfor <fred@example.test>; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
    )


def test_trace_of_many_names_nobody() -> None:
    envelope = Envelope(FRED, (FRED, Address("ann", "example.test")), "unix", "far.test")
    assert trace_fields(envelope, hostname="mx", id="1", now=0) == (
        b"Return-Path: <fred@example.test>\r\n"
        b"Received: from far.test\r\n"
        b"\tby mx (Restante) with LMTP id 1;\r\n"
        b"\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
    )


HEADERS = [
    (b"A: b\r\n\r\nx", b"A: b\r\n\r\nx"),
    (b"Return-Path: <a@b>\r\nA: b\r\n\r\nx", b"A: b\r\n\r\nx"),
    (b"A: b\nRETURN-path : x\n\ty\nB: c\n\nReturn-Path: z\n", b"A: b\nB: c\n\nReturn-Path: z\n"),
    (b"\r\nReturn-Path: body\r\n", b"\r\nReturn-Path: body\r\n"),
    (b"\nReturn-Path: body\n", b"\nReturn-Path: body\n"),
    (b"X-Return-Path: a\r\n\r\n", b"X-Return-Path: a\r\n\r\n"),
    (b"Return-Path: a\r\nReturn-Path: b\r\n\r\n", b"\r\n"),
    (b"Return-Path: a\r\n", b""),
    (b"", b""),
]


@pytest.mark.parametrize(("message", "expected"), HEADERS)
def test_return_path_is_removed_at_every_split(message: bytes, expected: bytes) -> None:
    for at in range(len(message) + 1):
        remover = ReturnPathRemover()
        out = remover.feed(message[:at]) + remover.feed(message[at:]) + remover.finish()
        assert out == expected, at


def test_an_endless_header_is_not_held() -> None:
    remover = ReturnPathRemover()
    total = sum(len(remover.feed(b"X: " + b"y" * 1000 + b"\r\n")) for _ in range(1000))
    assert total + len(remover.finish()) == 1_005_000
    assert total > 900_000


# --- recipients -------------------------------------------------------------------------------


class Directory:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fault: MailError | None = None

    async def lookup(self, address: str, session: str = "") -> Account:
        self.asked.append(address)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        if address != "fred@example.test":
            raise MailError(ErrorKind.NO_SUCH_USER)
        return Account(address, 1, 1, Path("/x"), Path("/x/Maildir"))


async def test_answers_are_kept_for_a_while() -> None:
    directory = Directory()
    recipients = Recipients(directory.lookup, cache_seconds=60)
    for _ in range(3):
        assert (await recipients.find(FRED)).account.address == "fred@example.test"
        with pytest.raises(MailError) as fault:
            await recipients.find(Address("nobody", "example.test"))
        assert fault.value.kind is ErrorKind.NO_SUCH_USER
    assert directory.asked == ["fred@example.test", "nobody@example.test"]


async def test_a_change_drops_answers_also_those_under_way() -> None:
    directory = Directory()
    recipients = Recipients(directory.lookup, cache_seconds=60)
    await recipients.find(FRED)
    recipients.forget(Revocation("", Reason.CHANGED))
    under_way = asyncio.ensure_future(recipients.find(FRED))
    await asyncio.sleep(0)
    recipients.forget(Revocation("fred@example.test", Reason.CHANGED))
    await asyncio.gather(under_way, recipients.find(FRED))
    await recipients.find(FRED)
    assert len(directory.asked) == 3


async def test_no_cache() -> None:
    directory = Directory()
    recipients = Recipients(directory.lookup, cache_seconds=0)
    recipients.ask_ahead([FRED])
    for _ in range(3):
        await recipients.find(FRED)
    assert len(directory.asked) == 3


async def test_a_fault_is_never_kept() -> None:
    directory = Directory()
    recipients = Recipients(directory.lookup, cache_seconds=60)
    directory.fault = MailError(ErrorKind.TEMPORARY)
    with pytest.raises(MailError):
        await recipients.find(FRED)
    directory.fault = None
    assert (await recipients.find(FRED)).folder == INBOX


async def test_one_call_for_many_waiting() -> None:
    directory = Directory()
    recipients = Recipients(directory.lookup, cache_seconds=0)
    await asyncio.gather(*(recipients.find(FRED) for _ in range(10)))
    assert len(directory.asked) == 1


async def test_a_waiting_session_that_is_cut_does_not_harm_the_others() -> None:
    directory = Directory()
    recipients = Recipients(directory.lookup, cache_seconds=0)
    first = asyncio.ensure_future(recipients.find(FRED))
    second = asyncio.ensure_future(recipients.find(FRED))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).account.address == "fred@example.test"


async def test_detail() -> None:
    directory = Directory()
    on = Recipients(directory.lookup, cache_seconds=0, folders=True)
    address = Address("fred+Lists", "example.test")
    assert (await on.find(address)).folder == ("Lists",)
    assert (await on.find(Address("fred+a/b", "example.test"))).folder == INBOX
    off = Recipients(directory.lookup, cache_seconds=0, separators="")
    with pytest.raises(MailError):
        await off.find(address)


# --- key ledger -------------------------------------------------------------------------------


DAY = 86_400


def test_ledger(tmp_path: Path) -> None:
    ledger = KeyLedger(tmp_path)
    assert ledger.claim("k", "one", now=10 * DAY)
    assert ledger.claim("k", "one", now=10 * DAY)
    assert KeyLedger(tmp_path).claim("k", "one", now=12 * DAY - 1)
    assert not ledger.claim("k", "two", now=11 * DAY)
    assert ledger.claim("../k", "two", now=11 * DAY)


def test_ledger_forgets(tmp_path: Path) -> None:
    ledger = KeyLedger(tmp_path)
    assert ledger.claim("k", "one", now=10 * DAY)
    assert ledger.claim("k", "two", now=(10 + KEEP_DAYS) * DAY)
    assert [p.name for p in (tmp_path / ".restante-keys").iterdir()] == [str(10 + KEEP_DAYS)]


def test_ledger_on_a_broken_volume(tmp_path: Path) -> None:
    (tmp_path / ".restante-keys").write_text("not a directory")
    with pytest.raises(MailError) as fault:
        KeyLedger(tmp_path).claim("k", "one")
    assert fault.value.kind is ErrorKind.TEMPORARY


# --- token ------------------------------------------------------------------------------------


def settings_of(data: Path, **more: Any) -> DeliverySettings:
    return DeliverySettings(**cast(Any, {"data": data, **more}))


def test_token_is_made_once(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    token = http_token(settings)
    assert len(token) > 30
    assert http_token(settings) == token
    path = tmp_path / "run" / "delivery.token"
    assert path.read_text().strip() == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["delivery.token"]


def test_token_of_the_settings_wins(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, http_token=SecretStr("x" * 20))
    assert http_token(settings) == "x" * 20
    assert not (tmp_path / "run").exists()


def test_an_empty_token_file_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "delivery.token").touch()
    assert len(http_token(settings_of(tmp_path))) > 30
