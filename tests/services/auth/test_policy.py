"""Which new passwords are refused, why, and at which doors."""

from pathlib import Path

import pytest
from grpc import aio

from restante.model import ErrorKind, MailError
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.errors import error_of
from services.auth.passwords.policy import PasswordPolicy
from services.auth.server import AuthServer
from tests.services.auth.conftest import AddAccount

FRED = "fred@example.test"


async def refusal(policy: PasswordPolicy, password: str | bytes, name: str = "") -> str:
    """Return the reason, "" where the password is good."""
    given = password.encode() if isinstance(password, str) else password
    try:
        await policy.check(given, FRED, name)
    except MailError as error:
        assert error.kind is ErrorKind.BAD_REQUEST
        return error.text
    return ""


async def test_length_counts_characters() -> None:
    policy = PasswordPolicy(min_length=8)
    assert "at least 8 characters" in await refusal(policy, "äöüäöüä")
    assert await refusal(policy, "äöüäöüäö") == ""
    assert "1 to 1024 bytes" in await refusal(policy, "x" * 1025)
    assert await refusal(policy, "x" * 1024) == ""
    for broken in (b"", b"abcdefgh\0"):
        assert await refusal(PasswordPolicy(), broken)


async def test_the_address_is_no_password() -> None:
    policy = PasswordPolicy()
    for password in (FRED, "FRED@Example.TEST", "fred", "example.test"):
        assert "must not be the address" in await refusal(policy, password)


async def test_the_commonest_are_refused() -> None:
    policy = PasswordPolicy(common=30_000)
    for password in ("password", "PassWord", "qwerty", "letmein"):
        assert "commonest" in await refusal(policy, password)
    assert await refusal(PasswordPolicy(common=1), "letmein") == ""


async def test_what_is_easy_to_guess_is_refused_with_advice() -> None:
    policy = PasswordPolicy(min_score=3)
    assert "too easy to guess" in await refusal(policy, "qwertyuiop1")
    assert await refusal(policy, "zebra-lamp-42") == ""
    # The owner's own words are hints for whoever guesses.
    assert await refusal(policy, "Zworykinovsky7") == ""
    assert "too easy" in await refusal(policy, "Zworykinovsky7", name="Olga Zworykinovsky")
    assert "too easy" in await refusal(policy, "fred@example.test1")


async def test_a_long_password_is_judged_by_its_beginning() -> None:
    """zxcvbn refuses more than 72 characters, and needs seconds for less."""
    policy = PasswordPolicy(min_score=3, common=30_000)
    assert await refusal(policy, "4@8({[<369&#!1/|0$5+7%2/" * 40) == ""
    assert "too easy" in await refusal(policy, "a" * 1000)
    assert await refusal(policy, b"\xff\xfe" * 300)  # bytes that are no text


async def test_administrators_are_free_unless_told_otherwise() -> None:
    free = PasswordPolicy(min_length=8, min_score=3, common=30_000, administrators=False)
    await free.check(b"x", FRED, by_administrator=True)
    with pytest.raises(MailError):
        await free.check(b"", FRED, by_administrator=True)
    bound = PasswordPolicy(min_length=8, administrators=True)
    with pytest.raises(MailError):
        await bound.check(b"x", FRED, by_administrator=True)


async def test_no_reason_repeats_the_password() -> None:
    policy = PasswordPolicy(min_length=8, min_score=4, common=30_000)
    for password in ("hunter2", "hunter2hunter2", "swordfish", "swordfish99"):
        reason = await refusal(policy, password)
        assert reason
        assert password not in reason


async def test_change_password_over_grpc(server: AuthServer, add: AddAccount, data: Path) -> None:
    await add(FRED)
    async with aio.insecure_channel(str(server.settings.listen)) as channel:
        stub = auth_pb2_grpc.AuthStub(channel)

        async def change(old: bytes, new: bytes) -> MailError | None:
            try:
                await stub.ChangePassword(
                    auth_pb2.ChangePasswordRequest(user=FRED, old_password=old, new_password=new)
                )
            except aio.AioRpcError as error:
                return error_of(error.trailing_metadata(), error.details())
            return None

        refused = await change(b"secret", b"letmein123")
        assert refused is not None
        assert refused.kind is ErrorKind.BAD_REQUEST
        # A wrong old password tells nothing about the new one.
        refused = await change(b"wrong", b"letmein123")
        assert refused is not None
        assert refused.kind is ErrorKind.AUTH_FAILED
        assert await change(b"secret", b"zebra-lamp-42") is None
        assert await change(b"zebra-lamp-42", b"secret") is not None
