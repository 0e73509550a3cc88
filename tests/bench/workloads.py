"""What is measured: each workload runs against one peer and returns one Sample."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any

from tests.bench.load import GRACE
from tests.bench.mail import LMTP_USERS, SESSION_USERS, Plan
from tests.bench.measure import cpu_ms, pss_kib
from tests.bench.peers import Peer, mail_owner

ROOT = Path(__file__).resolve().parents[2]


class LoadError(Exception):
    """The load client saw errors; the sample would not mean anything."""


@dataclass
class Sample:
    """One round of one workload: named numbers, with their units in the names."""

    values: dict[str, float]
    notes: list[str] = field(default_factory=list)


@dataclass
class Options:
    """How much to do in a round."""

    plan: Plan
    seconds: float
    repeats: int  # of commands that are timed one by one
    courier_idle: int  # Courier has a process for each connection
    warm_up: bool = False  # touch every mailbox once


@dataclass
class Workload:
    """`main` names the value that ratios are made of; `more` says whether more is better."""

    name: str
    title: str
    protocol: str
    main: str
    more: bool
    run: Callable[[Peer, Options], Sample]
    once: bool = False  # too long for every round


def _start(order: dict[str, Any]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _stream(process.stdin).write(json.dumps(order) + "\n")
    _stream(process.stdin).flush()
    return process


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _finish(process: "subprocess.Popen[str]", seconds: float) -> dict[str, Any]:
    try:
        out, _ = process.communicate(timeout=seconds + 2 * GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise LoadError("the load client did not end") from None
    lines = out.strip().splitlines()
    if process.returncode or not lines:
        raise LoadError(f"the load client ended with {process.returncode}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def _notes(result: dict[str, Any]) -> list[str]:
    errors = result["errors"]
    return [f"{len(errors)} errors, such as {errors[0]}"] if errors else []


def _throughput(
    flow: str, protocol: str, connections: int, **options: Any
) -> Callable[..., Sample]:
    def run(peer: Peer, chosen: Options) -> Sample:
        order = {
            "kind": "throughput",
            "flow": flow,
            "host": "127.0.0.1",
            "port": peer.ports[protocol],
            "connections": connections,
            "seconds": chosen.seconds,
            "at_least": SESSION_USERS if chosen.warm_up else 0,
            "options": options,
        }
        before = cpu_ms(peer.roots())
        result = _finish(_start(order), chosen.seconds + (2 * GRACE if chosen.warm_up else 0))
        used = cpu_ms(peer.roots()) - before
        count = result["operations"]
        if not count:
            raise LoadError("; ".join(result["errors"][:2]) or "nothing was done")
        return Sample(
            {
                "per_second": count / result["seconds"],
                "cpu_ms_each": used / count,
                "client_cpu_ms_each": result["client_cpu_ms"] / count,
            },
            _notes(result),
        )

    return run


def _timed(user: str, before: list[str], command: str) -> Callable[..., Sample]:
    def run(peer: Peer, chosen: Options) -> Sample:
        order = {
            "kind": "timed",
            "host": "127.0.0.1",
            "port": peer.ports["imap"],
            "user": user,
            "before": before,
            "command": command,
            "count": chosen.repeats,
        }
        used = cpu_ms(peer.roots())
        result = _finish(_start(order), GRACE * chosen.repeats)
        used = cpu_ms(peer.roots()) - used
        times = result["milliseconds"]
        if not times:
            raise LoadError("; ".join(result["errors"][:2]) or "nothing was done")
        return Sample(
            {
                "median_ms": median(times),
                "best_ms": min(times),
                "worst_ms": max(times),
                "cpu_ms_each": used / len(times),  # of the whole session
            },
            _notes(result),
        )

    return run


def _idle(peer: Peer, chosen: Options) -> Sample:
    connections = chosen.plan.idle if peer.name != "courier" else chosen.courier_idle
    connections = min(connections, chosen.plan.idle)
    order = {
        "kind": "idle",
        "host": "127.0.0.1",
        "port": peer.ports["imap"],
        "lmtp": peer.ports.get("lmtp"),
        "maildir": str(peer.homes["idle0"].parent / "{}" / "Maildir"),
        "owner": mail_owner(),
        "users": chosen.plan.idle,
        "connections": connections,
        "pushes": min(50, connections),
    }
    empty = pss_kib(peer.roots())
    process = _start(order)
    line = _stream(process.stdout).readline()
    if not line:
        raise LoadError("the load client ended early")
    held = json.loads(line)["ready"]
    time.sleep(2)  # let the last of them settle
    full = pss_kib(peer.roots())
    before = cpu_ms(peer.roots())
    time.sleep(5)
    resting = cpu_ms(peer.roots()) - before
    _stream(process.stdin).write("\n")
    _stream(process.stdin).flush()
    result = _finish(process, GRACE * 2)
    pushes = sorted(result["push_ms"])
    values = {
        "kib_each": (full - empty) / max(held, 1),
        "connections": held,
        "total_mib": full / 1024,
        "logins_per_second": result["operations"] / result["seconds"],
        "resting_cpu_percent": resting / 50,
    }
    notes = _notes(result)
    if pushes:
        values |= {"push_ms": median(pushes), "push_worst_ms": pushes[-1]}
    if result["missed"]:
        notes.append(f"{result['missed']} pushes took more than 5 s")
    return Sample(values, notes)


_FETCH = "FETCH 1:* (ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE FLAGS)"

WORKLOADS = [
    Workload(
        "lmtp",
        "LMTP, 4 KiB, 16 connections",
        "lmtp",
        "per_second",
        True,
        _throughput("lmtp", "lmtp", 16, recipients=1, users=LMTP_USERS, size=4096),
    ),
    Workload(
        "lmtp10",
        "LMTP, 4 KiB to 10 recipients, 16 connections (messages)",
        "lmtp",
        "per_second",
        True,
        _throughput("lmtp", "lmtp", 16, recipients=10, users=LMTP_USERS, size=4096),
    ),
    Workload(
        "pop3",
        "POP3 login, STAT, UIDL, 10 RETR, QUIT; 16 connections",
        "pop3",
        "per_second",
        True,
        _throughput("pop3", "pop3", 16, users=SESSION_USERS, retrieve=10),
    ),
    Workload(
        "imap",
        "IMAP login, SELECT, LOGOUT; 64 connections",
        "imap",
        "per_second",
        True,
        _throughput("imap", "imap", 64, users=SESSION_USERS),
    ),
    Workload(
        "fetch",
        "IMAP warm FETCH 1:* of {fetch}",
        "imap",
        "median_ms",
        False,
        _timed("fetch", ["SELECT INBOX"], _FETCH),
    ),
    Workload(
        "select",
        "IMAP warm SELECT of {fetch}",
        "imap",
        "median_ms",
        False,
        _timed("fetch", [], "SELECT INBOX"),
    ),
    Workload(
        "select-large",
        "IMAP warm SELECT of {large}",
        "imap",
        "median_ms",
        False,
        _timed("large", [], "SELECT INBOX"),
    ),
    Workload("idle", "IMAP IDLE, {idle} connections", "imap", "kib_each", False, _idle, once=True),
]
