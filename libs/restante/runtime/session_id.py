"""Ids of sessions: one word that joins the log lines of one connection, here and in auth.

An id is hexadecimal: 40 random bits of the process, then a number that counts its connections. A
connection keeps the number alone; the text is made where a line is written.
"""

import itertools
import os
import secrets
from typing import Final


class _Process:
    """What all ids of one process begin with; made anew after a fork."""

    def __init__(self) -> None:
        self.start = secrets.token_hex(5)
        self.numbers = itertools.count(1)


_process = _Process()
_WIDTH: Final = 6  # digits of a number at least


def _after_fork() -> None:
    global _process
    _process = _Process()


os.register_at_fork(after_in_child=_after_fork)


def next_number() -> int:
    """Return the number of a new connection."""
    return next(_process.numbers)


def session_id(number: int) -> str:
    """Return the id of this process's connection with that number: 16 digits, seldom more."""
    return f"{_process.start}{number:0{_WIDTH}x}"
