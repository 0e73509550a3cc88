"""Unique names of new messages (rule 1 of Maildir on a network volume).

`<sec>.M<usec>P<pid>Q<seq>R<random>.<host>`: containers share pid 1 and hosts may share a name,
so 64 random bits a process and a counter carry the uniqueness; the rest is for people and for
programs that sort by the leading time. No "/" and no ":".

A name for an idempotency key is `K<digest>.restante`: the same key and address give the same
name on every host, so that a repeated delivery finds the first one.
"""

import hashlib
import itertools
import os
import re
import secrets
import socket
import time
from typing import Final

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._\-]")
_KEYED: Final = re.compile(r"K[0-9a-f]{32}\.restante\Z")


class _Process:
    """What is the same in all names of one process; made anew after a fork."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.random = secrets.token_hex(8)
        self.counter = itertools.count(1)
        host = _UNSAFE.sub("-", socket.gethostname())[:63].strip(".") or "localhost"
        self.tail = f"R{self.random}.{host}"
        self.middle = f"P{self.pid}Q"


_process = _Process()


def _after_fork() -> None:
    global _process
    _process = _Process()


os.register_at_fork(after_in_child=_after_fork)


def unique_name() -> str:
    """Return a new name without sizes and flags; no other call anywhere returns it."""
    now = time.time_ns() // 1000
    own = _process
    return f"{now // 1_000_000}.M{now % 1_000_000:06}{own.middle}{next(own.counter)}{own.tail}"


def with_sizes(unique: str, size: int, wire_size: int) -> str:
    """Return the base name: the unique name with bytes on disk and bytes with CRLF."""
    return f"{unique},S={size},W={wire_size}"


def keyed_name(key: str, address: str) -> str:
    """Return the unique name of the message that `key` delivers to `address`."""
    digest = hashlib.sha256(f"{len(address)}:{address}{key}".encode("utf-8", "surrogatepass"))
    return f"K{digest.hexdigest()[:32]}.restante"


def unique_part(filename: str) -> str:
    """Return a file name without sizes, flags and whatever else follows a comma or colon."""
    return filename.partition(":")[0].partition(",")[0]


def is_keyed(unique: str) -> bool:
    """Tell whether a unique name comes from an idempotency key."""
    return _KEYED.match(unique) is not None
