"""Two replicas of auth behind one target: calls go to both, and one that is gone is left."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from tests.services.auth.process import AuthProcess, auth_process


@pytest.fixture
def both(tmp_path: Path) -> Iterator[list[AuthProcess]]:
    with ExitStack() as stack:
        found = []
        for name in ("one", "two"):
            data = tmp_path / name
            data.mkdir()
            found.append(
                stack.enter_context(
                    auth_process(
                        data,
                        RESTANTE_AUTH_TCP_LISTEN="127.0.0.1:0",
                        RESTANTE_AUTH_SQL_URL=f"sqlite:///{tmp_path}/accounts.db",
                        RESTANTE_AUTH_SECRET="0123456789abcdef0123456789abcdef",
                        RESTANTE_AUTH_DEBUG_LOGIN="true",
                    )
                )
            )
        yield found


def _target(both: list[AuthProcess]) -> str:
    return "ipv4:" + ",".join(one.endpoints["tcp_listen"] for one in both)


async def _ask(client: AuthClient) -> str:
    try:
        await client.lookup("nobody@example.test")
    except MailError as error:
        return error.kind.value
    return "found"


async def test_calls_go_round(both: list[AuthProcess]) -> None:
    client = AuthClient(_target(both))
    try:
        # The second connection may be ready after the first call.
        async with asyncio.timeout(30):
            while not all("nobody@example.test" in one.log() for one in both):
                assert await _ask(client) == ErrorKind.NO_SUCH_USER.value
    finally:
        await client.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_a_replica_that_is_gone_is_left(both: list[AuthProcess], number: int) -> None:
    """Stopped is what a machine without power or network looks like: nothing refuses anything."""
    client = AuthClient(_target(both))
    try:
        assert await _ask(client) == ErrorKind.NO_SUCH_USER.value
        _signal_all(both[0], number)
        in_a_row, answers = 0, Counter[str]()
        async with asyncio.timeout(30):
            while in_a_row < 20:
                answer = await _ask(client)
                answers[answer] += 1
                in_a_row = in_a_row + 1 if answer == ErrorKind.NO_SUCH_USER.value else 0
        assert set(answers) <= {ErrorKind.NO_SUCH_USER.value, ErrorKind.TEMPORARY.value}
        if number == signal.SIGKILL:
            assert not answers[ErrorKind.TEMPORARY.value]
    finally:
        _signal_all(both[0], signal.SIGCONT)
        await client.close()


def _signal_all(one: AuthProcess, number: int) -> None:
    """Signal the parent and its worker."""
    parent = one.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children")
    pids = [parent, *map(int, children.read_text().split())] if children.exists() else []
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
