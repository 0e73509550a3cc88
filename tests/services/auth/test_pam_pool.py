"""Helper processes of the module pam: hanging, dying, too many questions. No PAM needed."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from services.auth.backends.pam_pool import HelperPool

# Speaks the helper's protocol: "pid", "hang", "die", "half", "huge", "echo ...".
PROGRAM = """
import os, struct, time
def read(n):
    data = b""
    while len(data) < n:
        piece = os.read(0, n - len(data))
        if not piece: raise SystemExit
        data += piece
    return data
while True:
    fields = read(struct.unpack(">I", read(4))[0]).split(b"\\0")
    answer = b"\\0".join(fields)
    if fields[0] == b"pid": answer = str(os.getpid()).encode()
    if fields[0] == b"hang": open(os.fsdecode(fields[1]), "w").close(); time.sleep(600)
    if fields[0] == b"die": os.abort()
    if fields[0] == b"half": os.write(0, struct.pack(">I", 100) + b"x"); os._exit(0)
    if fields[0] == b"huge": answer = b"x" * (2 << 20)
    os.write(0, struct.pack(">I", len(answer)) + answer)
    if fields[0] == b"last": os._exit(0)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "helper.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
async def pool(program: Path) -> AsyncIterator[HelperPool]:
    made = HelperPool("test", size=2, queue=2, timeout=20, program=program)
    yield made
    await made.close()


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_helpers_are_kept(pool: HelperPool) -> None:
    assert await pool.ask(b"", b"echo", b"\xff", b"") == [b"echo", b"\xff", b""]
    first = await pool.ask(b"", b"pid")
    assert await pool.ask(b"", b"pid") == first


@pytest.mark.parametrize("question", ["die", "half", "huge"])
async def test_a_helper_that_dies_or_lies_is_temporary_and_replaced(
    pool: HelperPool, question: str
) -> None:
    first = await pool.ask(b"", b"pid")
    with pytest.raises(MailError) as caught:
        await pool.ask(b"", question.encode())
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert await pool.ask(b"", b"pid") != first


async def test_a_helper_that_died_idle_is_not_asked(pool: HelperPool) -> None:
    (pid,) = await pool.ask(b"", b"pid")
    assert await pool.ask(b"", b"last") == [b"last"]
    os.waitid(os.P_PID, int(pid), os.WEXITED | os.WNOWAIT)
    assert await pool.ask(b"", b"echo") == [b"echo"]


async def test_a_helper_that_hangs_is_killed_in_time(program: Path, tmp_path: Path) -> None:
    pool = HelperPool("test", size=2, queue=2, timeout=0.5, program=program)
    try:
        (pid,) = await pool.ask(b"a", b"pid")
        with pytest.raises(MailError) as caught:
            await pool.ask(b"a", b"hang", bytes(tmp_path / "hung"))
        assert caught.value.kind is ErrorKind.TEMPORARY
        assert await pool.ask(b"a", b"pid") != [pid]
    finally:
        await pool.close()


async def test_no_kind_gets_the_last_helper_and_the_queue_is_bounded(
    pool: HelperPool, tmp_path: Path
) -> None:
    hung = tmp_path / "hung"
    tasks = [asyncio.create_task(pool.ask(b"a", b"hang", bytes(hung))) for _ in range(3)]
    await until(hung.exists)
    assert await pool.ask(b"b", b"echo") == [b"echo"]  # the fourth at once: the last that may
    tasks.append(asyncio.create_task(pool.ask(b"a", b"echo")))
    await asyncio.sleep(0)
    with pytest.raises(MailError) as caught:
        await pool.ask(b"b", b"echo")
    assert caught.value.kind is ErrorKind.TEMPORARY
    await pool.close()
    for answer in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(answer, MailError)
        assert answer.kind is ErrorKind.TEMPORARY


async def test_a_caller_that_leaves_takes_no_helper_along(pool: HelperPool) -> None:
    first = await pool.ask(b"", b"pid")
    task = asyncio.create_task(pool.ask(b"", b"echo"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.ask(b"", b"pid") == first


async def test_nothing_can_be_asked_after_the_end(pool: HelperPool) -> None:
    await pool.close()
    with pytest.raises(MailError):
        await pool.ask(b"", b"echo")
