"""What was promised to clients, and whether the mail system kept it.

A promise is an acknowledged delivery or append, or a UID that was shown with a message. Broken
promises are: a message lost, torn or altered; one UID standing for two messages.
"""

import hashlib
import re
import threading
from dataclasses import dataclass, field

WORK = ("delivered by LMTP", "appended by IMAP", "IMAP sessions", "POP3 sessions")
_TOKEN = re.compile(rb"^X-Token: (\S+)\r?$", re.MULTILINE)


def make_message(token: str, size: int) -> bytes:
    """Return a message in wire form whose last line proves that it is whole."""
    lines = [f"{token} {n:06d} " + "x" * 60 for n in range(size // 80)]
    body = "\r\n".join(lines)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return (
        f"From: sender@example.test\r\nTo: someone@example.test\r\nSubject: {token}\r\n"
        f"X-Token: {token}\r\n\r\n{body}\r\n{digest}\r\n"
    ).encode()


def token_of(message: bytes) -> str | None:
    """Return the token of a message that is whole, or None where it is torn or altered."""
    found = _TOKEN.search(message)
    head, _, rest = message.partition(b"\r\n\r\n")
    body, _, digest = rest.removesuffix(b"\r\n").rpartition(b"\r\n")
    whole = hashlib.sha256(body).hexdigest().encode() == digest
    return found[1].decode() if found and head and whole else None


@dataclass
class Ledger:
    """Thread-safe record of promises, and the list of those that were broken."""

    promised: dict[str, str] = field(default_factory=dict)  # token -> account
    shown: dict[tuple[str, str, int, int], str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def promise(self, token: str, account: str) -> None:
        """Note that a delivery was acknowledged."""
        with self._lock:
            self.promised[token] = account

    def show(self, account: str, folder: str, uidvalidity: int, uid: int, message: bytes) -> None:
        """Note that a client saw this message under this UID."""
        token = token_of(message)
        key = (account, folder, uidvalidity, uid)
        with self._lock:
            if token is None:
                self.broken.append(f"torn: {key} {message[:80]!r}")
                return
            before = self.shown.setdefault(key, token)
            if before != token:
                self.broken.append(f"UID reused: {key} was {before}, is {token}")

    def count(self, what: str) -> None:
        """Count an event for the closing table."""
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1
            self._lock.notify_all()

    def wait_for_work(self, events: int, *, seconds: float) -> None:
        """Wait until clients counted so many successes. AssertionError where nothing works."""
        with self._lock:
            before = self._successes()
            done = self._lock.wait_for(lambda: self._successes() > before, seconds)
            assert done, f"nothing worked for {seconds} s"
            self._lock.wait_for(lambda: self._successes() >= before + events, 1.0)

    def _successes(self) -> int:
        return sum(n for what, n in self.counts.items() if what in WORK)

    def settle(self, kept: dict[str, list[bytes]]) -> None:
        """Compare with all messages of each account, as read at the end."""
        have: dict[str, set[str]] = {}
        for account, messages in kept.items():
            for message in messages:
                token = token_of(message)
                if token is None:
                    self.broken.append(f"torn at the end: {account} {message[:80]!r}")
                else:
                    have.setdefault(account, set()).add(token)
        for token, account in self.promised.items():
            if token not in have.get(account, set()):
                self.broken.append(f"lost: {token} of {account}")
