"""`python -m tests.bench.auth`: what a login costs the auth service, and how that grows.

load    Authenticate over gRPC from 64 tasks at once, on a unix socket: each account's first login
        (argon2id is computed) and further ones (the verifier remembers); rate and latencies.
timing  Logins with a wrong password and with unknown names, in turns: their medians.
growth  PostgreSQL with few and with many accounts: Lookup, Authenticate, and Enumerate with the
        memory that it takes in the auth process.

Settings are the defaults, but for the throttle, which is off: it would measure itself.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import psycopg

from restante.model import MailError
from restante.rpc.client import AuthClient
from services.auth.passwords.verifier import Verifier
from tests.bench.measure import cpu_ms, pss_kib
from tests.bench.peers import free_port
from tests.contract.postgres import running_postgres
from tests.support.process import ServiceProcess

PASSWORD: Final = "correct horse battery"
TASKS: Final = 64
_DOMAIN: Final = "example.test"


def user(number: int) -> str:
    """Return the address of an account."""
    return f"user{number:07d}@{_DOMAIN}"


def fill(url: str, count: int, stored: str) -> None:
    """Put accounts 0 to count-1 into an empty database that auth has prepared."""
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO domains VALUES (%s, '', '', 0)", (_DOMAIN,))
        columns = (
            "address, domain, uid, gid, home, maildir, name, quota, options, password, disabled,"
            " created, updated"
        )
        with connection.cursor().copy(f"COPY accounts ({columns}) FROM STDIN") as copy:
            for n in range(count):
                home = f"{_DOMAIN}/{n % 100:02d}/user{n:07d}"
                copy.write_row(
                    (user(n), _DOMAIN, 1000, 1000, home, "Maildir", "", "", "", stored, False, 0, 0)
                )
        connection.execute("ANALYZE")


async def timed(
    jobs: Sequence[Callable[[], Awaitable[object]]], tasks: int = TASKS
) -> tuple[float, list[float]]:
    """Run the jobs, so many at once; return the seconds of all and the ms of each."""
    loop, queue, spent = asyncio.get_running_loop(), iter(jobs), []

    async def worker() -> None:
        for job in queue:
            started = loop.time()
            await job()
            spent.append((loop.time() - started) * 1000)

    started = loop.time()
    await asyncio.gather(*(worker() for _ in range(tasks)))
    return loop.time() - started, spent


def shown(what: str, seconds: float, spent: list[float], extra: str = "") -> str:
    """Return a row of the table."""
    cuts = statistics.quantiles(spent, n=100)
    rate = len(spent) / seconds
    return (
        f"| {what} | {rate:,.0f}/s | {cuts[49]:.2f} ms | {cuts[94]:.2f} ms | {cuts[98]:.2f} ms |"
        f" {extra} |"
    )


class Bench:
    """One auth process on a database of its own."""

    def __init__(self, folder: Path, url: str = "") -> None:
        env = {
            "RESTANTE_AUTH_THROTTLE_BASE_SECONDS": "0",
            "RESTANTE_AUTH_HEALTH_LISTEN": f"127.0.0.1:{free_port()}",
            **({"RESTANTE_AUTH_SQL_URL": url} if url else {}),
        }
        folder.mkdir(parents=True)
        self.process = ServiceProcess("auth", folder, env)
        self.target = f"unix:{folder}/run/auth.sock"

    def pids(self) -> list[int]:
        """Return the service's parent process."""
        return [self.process.pid]


def login(client: AuthClient, name: str, password: str) -> Callable[[], Awaitable[object]]:
    """Return a job: one Authenticate call, whatever its answer."""

    async def job() -> None:
        try:
            await client.authenticate(name, password, service="imap", peer="192.0.2.1")
        except MailError:
            return

    return job


async def load(folder: Path, url: str, accounts: int, repeats: int) -> list[str]:
    """Measure first and further logins of so many accounts."""
    bench = Bench(folder, url)
    rows = []
    with bench.process:
        # Every account has a hash of its own, as in life; equal ones would be computed once.
        verifier = Verifier()
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO domains VALUES (%s, '', '', 0)", (_DOMAIN,))
            for n in range(accounts):
                stored = await verifier.hash(PASSWORD.encode())
                connection.execute(
                    "INSERT INTO accounts VALUES"
                    " (%s, %s, 1000, 1000, %s, 'Maildir', '', '', '', %s, false, 0, 0)",
                    (user(n), _DOMAIN, f"{_DOMAIN}/{n}", stored),
                )
        verifier.close()
        client = AuthClient(bench.target)
        for what, times in (("first logins (argon2id)", 1), ("further logins", repeats)):
            jobs = [login(client, user(n), PASSWORD) for n in range(accounts)] * times
            before = cpu_ms(bench.pids())
            seconds, spent = await timed(jobs)
            cost = (cpu_ms(bench.pids()) - before) / len(jobs)
            rows.append(shown(f"{what}, {TASKS} at once", seconds, spent, f"{cost:.2f} CPU-ms"))
        seconds, spent = await timed([login(client, user(0), PASSWORD) for _ in range(2000)], 1)
        rows.append(shown("further logins, one at a time", seconds, spent))
        await client.close()
    return rows


async def timing(folder: Path, url: str, count: int) -> list[str]:
    """Measure refusals: a wrong password of an account, and names that nobody has."""
    bench = Bench(folder, url)
    rows = []
    with bench.process:
        verifier = Verifier()
        fill(url, 16, await verifier.hash(PASSWORD.encode()))
        verifier.close()
        client = AuthClient(bench.target)
        kinds: dict[str, list[float]] = {"wrong password": [], "unknown user": []}
        # Eight at once: most of the time is the floor of failures, in which nothing is done.
        for start in range(0, count, 8):
            for kind in kinds:
                names = [
                    user(n % 16) if kind == "wrong password" else f"nobody{n}@{_DOMAIN}"
                    for n in range(start, start + 8)
                ]
                jobs = [login(client, name, f"guess {start}") for name in names]
                kinds[kind] += (await timed(jobs, 8))[1]
        await client.close()
        medians = {kind: statistics.median(spent) for kind, spent in kinds.items()}
        low, high = sorted(medians.values())
        for kind, spent in kinds.items():
            rows.append(shown(kind, sum(spent) / 1000, spent))
        rows.append(f"| medians apart | {(high / low - 1) * 100:.2f} % | | | | |")
    return rows


async def growth(folder: Path, url: str, count: int) -> list[str]:
    """Measure a database of so many accounts."""
    bench = Bench(folder, url)
    rows = []
    label = f"{count:,} accounts"
    with bench.process:
        started = time.perf_counter()
        fill(url, count, "{SHA256}" + _sha256(PASSWORD))
        rows.append(f"| {label}: filled by COPY | {time.perf_counter() - started:.1f} s | | | | |")
        client = AuthClient(bench.target)
        step = max(1, count // 20_000)
        names = [user(n) for n in range(0, count, step)][:20_000]
        lookups = [lambda name=name: client.lookup(name) for name in names]
        seconds, spent = await timed(lookups)
        rows.append(shown(f"{label}: Lookup", seconds, spent))
        seconds, spent = await timed([login(client, name, PASSWORD) for name in names])
        rows.append(shown(f"{label}: Authenticate", seconds, spent))
        before, most, seen = pss_kib(bench.pids()), 0, 0
        started = time.perf_counter()
        async for _ in client.enumerate():
            seen += 1
            if seen % 20_000 == 0:
                most = max(most, pss_kib(bench.pids()))
        took = time.perf_counter() - started
        grown = max(0, most - before) / 1024
        rows.append(
            f"| {label}: Enumerate, {seen:,} rows | {took:.1f} s, {seen / took:,.0f}/s | | | |"
            f" +{grown:.1f} MiB |"
        )
        await client.close()
    return rows


def _sha256(password: str) -> str:
    from base64 import b64encode
    from hashlib import sha256

    return b64encode(sha256(password.encode()).digest()).decode()


async def measure(chosen: argparse.Namespace, folder: Path) -> list[str]:
    """Run what was asked for; return the rows."""
    rows = ["| what | rate | p50 | p95 | p99 | |", "|---|---|---|---|---|---|"]
    with running_postgres() as server:
        if "load" in chosen.only:
            rows += await load(folder / "load", server.new_database(), chosen.users, chosen.repeats)
        if "timing" in chosen.only:
            rows += await timing(folder / "timing", server.new_database(), chosen.guesses)
        if "growth" in chosen.only:
            for count in (chosen.few, chosen.many):
                rows += await growth(folder / f"growth{count}", server.new_database(), count)
    return rows


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.auth", description=__doc__)
    parts = ("load", "timing", "growth")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--guesses", type=int, default=1000)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="auth-bench") as name:
        rows = asyncio.run(measure(chosen, Path(name)))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
