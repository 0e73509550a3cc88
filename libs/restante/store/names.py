"""Unique names of new messages (rule 1 of Maildir on a network volume).

`<sec>.M<usec>P<pid>Q<seq>R<random>.<host>`: containers share pid 1 and hosts may share a name,
so 64 random bits and a counter of the process carry the uniqueness; the rest is for people and for
programs that sort by the leading time. No "/" and no ":".

The random part of a message's name is the message's id, 16 hexadecimal digits, which also stands in
its Received field and in the log: whoever sees the name, on any host, knows the id. Two messages
have two ids of 64 random bits. Copies of one message (its recipients, COPY) share the id: made by
one process they differ by its counter, made by two by where the counters began (24 random bits) in
the same microsecond. Names that are no message's (temporary files) have random bits of the process.

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
_ID: Final = re.compile(r"[0-9]+\.M[0-9]+P[0-9]+Q[0-9]+R([0-9a-f]{16})\.")


class _Process:
    """What is the same in all names of one process; made anew after a fork."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.random = secrets.token_hex(8)
        self.counter = itertools.count(secrets.randbelow(1 << 24))
        host = _UNSAFE.sub("-", socket.gethostname())[:63].strip(".") or "localhost"
        self.host = f".{host}"
        self.middle = f"P{self.pid}Q"


_process = _Process()


def _after_fork() -> None:
    global _process
    _process = _Process()


os.register_at_fork(after_in_child=_after_fork)


def unique_name(id: str = "") -> str:
    """Return a new name without sizes and flags; no other call anywhere returns it.

    `id` is that of the message that will bear the name (`new_id`), "" for what is no message.
    """
    now = time.time_ns() // 1000
    own = _process
    return (
        f"{now // 1_000_000}.M{now % 1_000_000:06}{own.middle}{next(own.counter)}"
        f"R{id or own.random}{own.host}"
    )


def new_id() -> str:
    """Return the id of a new message: 16 hexadecimal digits, random."""
    return secrets.token_hex(8)


def message_id(base: str) -> str:
    """Return the id that a base name holds; the unique part itself where another program made it.

    So, too, for a name that comes from an idempotency key.
    """
    found = _ID.match(base)
    return found[1] if found else unique_part(base)


def renewed(base: bytes) -> bytes:
    """Return a new base name for a copy of the message `base`: the same id, sizes and the like."""
    unique, comma, rest = base.partition(b",")
    found = _ID.match(unique.decode("latin-1"))
    return unique_name(found[1] if found else new_id()).encode() + comma + rest


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
