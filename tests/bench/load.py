"""The load client, a process of its own: a JSON order on stdin, a JSON result on stdout.

Light on purpose, since it shares the cores with the server: callbacks of uvloop, no streams, no
tasks per connection. Everything it does is bounded by the order's time or count.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import uvloop

from tests.bench import flows
from tests.bench.mail import DOMAIN, message

GRACE = 20.0  # seconds an operation may take beyond the order's time
_KEEP = 1 << 16


class Client(asyncio.Protocol):
    """Drives one flow over one connection; calls `ended(error)` once."""

    def __init__(self, flow: flows.Flow, ended: Callable[[str | None], None]) -> None:
        self.flow, self.ended = flow, ended
        self.buffer = b""
        self.size = 0
        self.over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has no common base
        self.advance(None)

    def advance(self, answer: bytes | None) -> None:
        try:
            data, self.kind, self.mark = self.flow.send(answer)  # type: ignore[arg-type]
        except StopIteration:
            self.finish(None)
        except flows.RefusedError as error:
            self.finish(f"refused: {error}")
        else:
            if data:
                self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer = self.buffer + data if self.buffer else data
        if len(buffer) > 2 * _KEEP:
            self.buffer = buffer[-_KEEP:]  # a long answer: only its end matters
        if not buffer.endswith(b"\n") or not self.complete(buffer):
            return
        self.buffer = b""
        self.advance(buffer)

    def complete(self, buffer: bytes) -> bool:
        """Tell whether the buffer, which ends in a line end, is a whole answer."""
        kind, mark = self.kind, self.mark
        if kind == flows.LINES:
            assert isinstance(mark, int)
            return buffer.count(b"\n") >= mark
        if kind == flows.DOT:
            return buffer.endswith(b"\r\n.\r\n") or buffer.startswith(b"-")
        last = buffer[buffer.rfind(b"\n", 0, -1) + 1 :]
        if kind == flows.SMTP:
            return last[3:4] == b" "
        assert isinstance(mark, bytes)
        return last.startswith(mark)

    def connection_lost(self, exc: Exception | None) -> None:
        self.finish("connection closed by the server")

    def finish(self, error: str | None) -> None:
        if not self.over:
            self.over = True
            self.transport.close()
            self.ended(error)


async def open_client(order: dict[str, Any], flow: flows.Flow) -> str | None:
    """Run a flow to its end; return its error."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str | None] = loop.create_future()

    def ended(error: str | None) -> None:
        if not future.done():
            future.set_result(error)

    await loop.create_connection(
        lambda: Client(flow, ended),
        order["host"],
        order["port"],
    )
    return await asyncio.wait_for(future, order.get("seconds", 0) + GRACE)


async def throughput(order: dict[str, Any]) -> dict[str, Any]:
    """Keep `connections` busy for `seconds`, and for `at_least` sessions; count operations."""
    make = getattr(flows, order["flow"])
    loop = asyncio.get_running_loop()
    start = loop.time()
    deadline = start + order["seconds"]
    count = 0
    errors: list[str] = []
    serial = 0

    def done() -> None:
        nonlocal count
        count += 1

    async def lane() -> None:
        nonlocal serial
        while (loop.time() < deadline or serial < order["at_least"]) and len(errors) < 20:
            turn = flows.Turn(serial, lambda: loop.time() < deadline, done)
            serial += 1
            try:
                error = await open_client(order, make(turn, **order["options"]))
            except (OSError, TimeoutError) as fault:
                error = repr(fault)
            if error:
                errors.append(error)

    await asyncio.gather(*(lane() for _ in range(order["connections"])))
    return {"operations": count, "seconds": loop.time() - start, "errors": errors}


async def timed(order: dict[str, Any]) -> dict[str, Any]:
    """Time one command in `count` fresh sessions: login, `before`, the command, LOGOUT."""
    times: list[float] = []

    def flow() -> flows.Flow:
        yield from flows.imap_login(order["user"])
        for command in order["before"]:
            yield f"b {command}\r\n".encode(), flows.TAGGED, b"b "
        begin = time.perf_counter()
        answer = yield f"c {order['command']}\r\n".encode(), flows.TAGGED, b"c "
        times.append((time.perf_counter() - begin) * 1000)
        if b"c OK" not in answer[-4096:]:
            raise flows.RefusedError(answer[-200:].decode("latin-1"))
        yield b"d LOGOUT\r\n", flows.TAGGED, b"d "

    errors = []
    for _ in range(order["count"]):
        error = await open_client(order, flow())
        if error:
            errors.append(error)
            break
    return {"operations": len(times), "milliseconds": times, "errors": errors}


async def idle(order: dict[str, Any]) -> dict[str, Any]:
    """Hold `connections` in IDLE, say so, wait for a line on stdin, then measure the push."""
    loop = asyncio.get_running_loop()
    waiting: dict[str, asyncio.Future[float]] = {}
    errors: list[str] = []
    clients: list[Client] = []

    def flow(user: str, ready: "asyncio.Future[None]") -> flows.Flow:
        yield from flows.imap_login(user)
        yield b"b SELECT INBOX\r\n", flows.TAGGED, b"b "
        yield b"c IDLE\r\n", flows.LINES, 1
        ready.set_result(None)
        while True:
            answer = yield b"", flows.LINES, 1
            if b"EXISTS" in answer and user in waiting and not waiting[user].done():
                waiting[user].set_result(time.perf_counter())

    async def connect(user: str) -> None:
        ready: asyncio.Future[None] = loop.create_future()

        def ended(error: str | None) -> None:
            errors.append(error or "closed")
            if not ready.done():
                ready.set_result(None)

        _, client = await loop.create_connection(
            lambda: Client(flow(user, ready), ended), order["host"], order["port"]
        )
        clients.append(client)
        await asyncio.wait_for(ready, GRACE)

    names = [f"idle{n % order['users']}" for n in range(order["connections"])]
    begin = loop.time()
    for at in range(0, len(names), 32):
        await asyncio.gather(*(connect(name) for name in names[at : at + 32]))
        if len(errors) > 20:
            break
    opened = loop.time() - begin
    print(json.dumps({"ready": len(clients)}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)

    latencies: list[float] = []
    missed = 0
    step = max(1, len(names) // order["pushes"])
    for name in [] if len(errors) > 20 else names[::step][: order["pushes"]]:
        future = waiting[name] = loop.create_future()
        delivered = await deliver(order, name)
        try:
            latencies.append((await asyncio.wait_for(future, 5) - delivered) * 1000)
        except TimeoutError:
            missed += 1
            if missed == 3:
                break  # it does not push
        await asyncio.sleep(0.05)
    return {
        "operations": len(clients),
        "seconds": opened,
        "push_ms": latencies,
        "missed": missed,
        "errors": errors[:20],
    }


async def deliver(order: dict[str, Any], user: str) -> float:
    """Put a message into a user's INBOX; return the time at which it was there."""
    if order["lmtp"]:
        at = 0.0

        def flow() -> flows.Flow:
            nonlocal at
            yield b"", flows.SMTP, 0
            yield b"LHLO bench.test\r\n", flows.SMTP, 0
            head = f"MAIL FROM:<s@example.org>\r\nRCPT TO:<{user}@{DOMAIN}>\r\nDATA\r\n"
            yield head.encode(), flows.LINES, 3
            flows.expect((yield message(1) + b".\r\n", flows.LINES, 1), b"250")
            at = time.perf_counter()
            yield b"QUIT\r\n", flows.SMTP, 0

        error = await open_client({"host": order["host"], "port": order["lmtp"]}, flow())
        if error:
            raise OSError(error)
        return at
    name = f"{time.time_ns()}.bench"
    maildir = order["maildir"].format(user)
    with open(f"{maildir}/tmp/{name}", "wb") as file:
        file.write(message(1).replace(b"\r\n", b"\n"))
        os.fchown(file.fileno(), *order["owner"])
    os.rename(f"{maildir}/tmp/{name}", f"{maildir}/new/{name}")
    return time.perf_counter()


def main() -> None:
    """Read the order, run it, print the result."""
    order = json.loads(sys.stdin.readline())
    kind = {"throughput": throughput, "timed": timed, "idle": idle}[order["kind"]]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(kind(order))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result["client_cpu_ms"] = (usage.ru_utime + usage.ru_stime) * 1000
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
