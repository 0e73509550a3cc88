"""Connections: input, output, back-pressure, timeouts, interruption, ends."""

import asyncio
import contextlib
import itertools
import socket
from pathlib import Path

import pytest

from restante.runtime import connection as module
from restante.runtime.address import ListenAddress
from restante.runtime.connection import INPUT_HIGH, Connection, Interrupted
from restante.runtime.limits import ConnectionLimits
from tests.unit.runtime.conftest import Serve, dial


async def echo(connection: Connection) -> None:
    while data := await connection.receive(30):
        connection.write(data)
        await connection.drain()


async def test_echo_and_peer(serve: Serve) -> None:
    peers = []

    async def session(connection: Connection) -> None:
        peers.append(connection.peer)
        await echo(connection)

    listener = await serve(session)
    reader, writer = await dial(listener)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    mine = writer.get_extra_info("sockname")
    assert (peers[0].address, peers[0].port) == mine[:2]
    assert peers[0].local_port == listener.address.port
    assert not peers[0].tls
    writer.close()


async def test_unix_socket(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "s"
    peers = []

    async def session(connection: Connection) -> None:
        peers.append(connection.peer.address)
        await echo(connection)

    listener = await serve(session, ListenAddress(path=str(path)), unix_mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    reader, writer = await dial(listener)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    assert peers == ["unix"]
    writer.close()


async def test_end_of_input_lets_the_session_answer(serve: Serve) -> None:
    async def session(connection: Connection) -> None:
        total = 0
        while data := await connection.receive(30):
            total += len(data)
        assert await connection.receive(30) == b""
        connection.write(b"%d\r\n" % total)

    reader, writer = await dial(await serve(session))
    writer.write(b"x" * 1000)
    writer.write_eof()
    assert await reader.read() == b"1000\r\n"
    writer.close()


async def test_no_delay_on_every_connection(serve: Serve) -> None:
    seen = []

    async def session(connection: Connection) -> None:
        sock = connection._transport.get_extra_info("socket")
        seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    reader, writer = await dial(await serve(session))
    assert await reader.read() == b""
    assert all(seen)
    assert len(seen) == 2
    writer.close()


async def test_reading_pauses_while_nobody_reads(serve: Serve) -> None:
    go = asyncio.Event()
    held = []

    async def session(connection: Connection) -> None:
        await go.wait()
        held.append(len(connection._input))
        total = 0
        while data := await connection.receive(30):
            total += len(data)
        connection.write(b"%d" % total)

    reader, writer = await dial(await serve(session))
    writer.write(b"x" * 8_000_000)
    writer.write_eof()
    # The client's own buffers fill up: it cannot send all while the session does not read.
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await writer.drain()
    go.set()
    assert await reader.read() == b"8000000"
    assert INPUT_HIGH < held[0] <= INPUT_HIGH + 256 * 1024
    writer.close()


async def test_slow_reader_holds_its_session_only(serve: Serve) -> None:
    written = 0

    async def session(connection: Connection) -> None:
        nonlocal written
        if (await connection.receive(30)).startswith(b"big"):
            for _ in range(200):
                connection.write(b"x" * 100_000)
                await connection.drain()
                written += 100_000
        else:
            connection.write(b"small")

    listener = await serve(session)
    slow_reader, slow = await dial(listener)
    slow.write(b"big")
    reader, writer = await dial(listener)
    writer.write(b"go")
    assert await reader.read() == b"small"
    assert written < 20_000_000, "the session waits for its slow reader"
    total = 0
    while chunk := await slow_reader.read(1 << 20):
        total += len(chunk)
    assert total == 20_000_000
    slow.close()
    writer.close()


async def test_stalled_reader_is_given_up(serve: Serve) -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def session(connection: Connection) -> None:
        try:
            while True:
                connection.write(b"x" * 1_000_000)
                await connection.drain(timeout=0)
        except TimeoutError:
            outcome.set_result("stalled")
            connection.abort()

    _, writer = await dial(await serve(session))
    assert await asyncio.wait_for(outcome, 10) == "stalled"
    writer.close()


async def test_drain_after_the_peer_is_gone(serve: Serve) -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def session(connection: Connection) -> None:
        try:
            while True:
                connection.write(b"x" * 1_000_000)
                await connection.drain()
        except ConnectionResetError:
            outcome.set_result("gone")
            raise

    listener = await serve(session)
    _, writer = await dial(listener)
    writer.transport.abort()
    assert await asyncio.wait_for(outcome, 10) == "gone"
    assert listener.failures == 0


async def test_receive_times_out(serve: Serve) -> None:
    async def session(connection: Connection) -> None:
        with pytest.raises(TimeoutError):
            await connection.receive(0)
        connection.write(b"timeout")
        assert await connection.receive(30) == b"late"
        connection.write(b" late")

    reader, writer = await dial(await serve(session))
    assert await reader.readexactly(7) == b"timeout"
    writer.write(b"late")
    assert await reader.read() == b" late"
    writer.close()


async def test_interrupt_wakes_a_pending_receive_and_keeps_input(serve: Serve) -> None:
    waiting: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    async def session(connection: Connection) -> None:
        waiting.set_result(connection)
        with pytest.raises(Interrupted):
            await connection.receive(None)
        connection.write(b"pushed")
        assert await connection.receive(30) == b"abc"
        connection.interrupt()  # nothing is pending: the next one
        with pytest.raises(Interrupted):
            await connection.receive(30)
        connection.write(b"again")

    reader, writer = await dial(await serve(session))
    connection = await waiting
    connection.interrupt()
    connection.interrupt()  # twice is once
    assert await reader.readexactly(6) == b"pushed"
    writer.write(b"abc")
    assert await reader.read() == b"again"
    writer.close()


async def test_interrupt_does_not_end_a_drain(serve: Serve) -> None:
    steps = []

    async def session(connection: Connection) -> None:
        connection.write(b"x" * 10_000_000)
        asyncio.get_running_loop().call_soon(connection.interrupt)
        await connection.drain()
        steps.append("drained")
        with pytest.raises(Interrupted):
            await connection.receive(30)
        steps.append("interrupted")

    reader, writer = await dial(await serve(session))
    await asyncio.sleep(0)
    assert len(await reader.read()) == 10_000_000
    assert steps == ["drained", "interrupted"]
    writer.close()


async def test_input_while_output_drains_is_no_end(serve: Serve) -> None:
    """resume_writing() must not wake receive(): an empty result would look like end of input."""

    async def session(connection: Connection) -> None:
        connection.write(b"x" * 5_000_000)
        assert await connection.receive(30) == b"next"
        connection.write(b"end")

    reader, writer = await dial(await serve(session))
    assert len(await reader.readexactly(5_000_000)) == 5_000_000
    writer.write(b"next")
    assert await reader.read() == b"end"
    writer.close()


async def test_failed_session_ends_alone(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    async def session(connection: Connection) -> None:
        if await connection.receive(30) == b"bad":
            raise RuntimeError("a fault\r\nof ours")
        connection.write(b"fine")

    listener = await serve(session)
    reader, writer = await dial(listener)
    writer.write(b"bad")
    assert await reader.read() == b""
    again, other = await dial(listener)
    other.write(b"good")
    assert await again.read() == b"fine"
    assert listener.failures == 1
    for each in (writer, other):
        each.close()


async def test_close_sends_what_is_queued(serve: Serve) -> None:
    async def session(connection: Connection) -> None:
        connection.write(b"x" * 3_000_000)
        connection.close()
        assert connection.closed
        assert await connection.receive(30) == b""

    reader, writer = await dial(await serve(session))
    assert len(await reader.read()) == 3_000_000
    writer.close()


async def test_linger_is_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 0.0)
    ended = asyncio.Event()

    async def session(connection: Connection) -> None:
        connection.write(b"x" * 30_000_000)
        ended.set()

    listener = await serve(session)
    _, writer = await dial(listener)
    writer.transport.pause_reading()  # type: ignore[attr-defined] # a client that never reads
    await ended.wait()
    async with asyncio.timeout(10):
        await listener._empty.wait()
    assert listener.limits.connections == 0
    writer.transport.abort()


async def test_drain_lets_sessions_say_goodbye_and_cuts_the_rest(serve: Serve) -> None:
    async def session(connection: Connection) -> None:
        try:
            command = await connection.receive(30)
        except Interrupted:
            command = b""
        if command == b"deaf":
            await asyncio.Event().wait()
        assert connection.listener.draining
        connection.write(b"* BYE\r\n")

    limits = ConnectionLimits()
    listener = await serve(session, limits=limits)
    polite, one = await dial(listener)
    deaf, two = await dial(listener)
    two.write(b"deaf")
    while limits.connections < 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    await listener.drain(0.2)
    assert await polite.read() == b"* BYE\r\n"
    with contextlib.suppress(ConnectionResetError):
        assert await deaf.read() == b""
    assert limits.connections == 0
    with pytest.raises(OSError, match=r".*"):
        await dial(listener)
    for each in (one, two):
        each.close()


async def test_drain_spreads_the_goodbyes_of_many(serve: Serve) -> None:
    asked: list[float] = []

    async def session(connection: Connection) -> None:
        with pytest.raises(Interrupted):
            await connection.receive(30)
        asked.append(asyncio.get_running_loop().time())
        connection.write(b"* BYE\r\n")

    listener = await serve(session)
    clients = [await dial(listener) for _ in range(50)]
    while len(listener.connections) < 50:
        await asyncio.sleep(0)
    await listener.drain(5)
    assert [await reader.read() for reader, _ in clients] == [b"* BYE\r\n"] * 50
    pauses = [b - a for a, b in itertools.pairwise(asked) if b - a > 0.05]
    assert len(pauses) == 2, "20, 20 and 10"
    for _, writer in clients:
        writer.close()


async def test_user_sessions_are_counted_and_given_back(serve: Serve) -> None:
    async def session(connection: Connection) -> None:
        connection.write(b"1" if connection.acquire_user("fred@example.test") else b"0")
        assert await connection.receive(30) == b""

    limits = ConnectionLimits(per_user=2)
    listener = await serve(session, limits=limits)
    clients = [await dial(listener) for _ in range(3)]
    assert sorted([await reader.readexactly(1) for reader, _ in clients]) == [b"0", b"1", b"1"]
    for _, writer in clients:
        writer.close()
    async with asyncio.timeout(10):
        await listener._empty.wait()
    reader, writer = await dial(listener)
    assert await reader.readexactly(1) == b"1"
    writer.close()
