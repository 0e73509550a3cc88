"""What the system promised to its clients, under which fault, and whether it kept it.

A promise is an acknowledged message: SMTP's or LMTP's 250, a result of the HTTP hook, APPEND's OK.
At the end each is looked for in the mailbox where it belongs, and must be there exactly as it was
sent: servers on its way may put header lines above it and nothing else. Found more than once it is
a duplicate, which is counted; a message that was never acknowledged may be there or not.

A bounce is a permanent refusal of good mail or of a good password, by a reply or by a report that
came back to the sender. One UID that stood for two messages is a broken promise, too.
"""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.faults.ledger import make_message, token_of

HEADINGS = (
    "fault",
    "container",
    "held s",
    "promises",
    "lost",
    "bounced",
    "duplicates",
    "refused",
    "recovery s",
    "slowest",
    "back s",
)


def message(token: str, size: int, account: str) -> bytes:
    """Return a message in wire form that no server has a reason to change."""
    head = f"Date: Sat, 01 Jan 2022 00:00:00 +0000\r\nMessage-ID: <{token}@example.test>\r\n"
    return head.encode() + make_message(token, size).replace(
        b"To: someone@example.test", b"To: " + account.encode()
    )


@dataclass
class Phase:
    """The time of one fault, and what followed until everything worked again."""

    fault: str
    container: str
    held: float = 0.0  # seconds
    recovery: float = 0.0  # seconds until new clients succeeded in everything
    slowest: str = ""  # what came last
    back: float = 0.0  # seconds until the container itself was well again
    promises: int = 0
    lost: int = 0
    bounced: int = 0
    duplicates: int = 0
    refused: int = 0

    def cells(self) -> tuple[str, ...]:
        """Return the row of the closing table."""
        return (
            self.fault,
            self.container,
            f"{self.held:.1f}",
            str(self.promises),
            str(self.lost),
            str(self.bounced),
            str(self.duplicates),
            str(self.refused),
            f"{self.recovery:.2f}",
            self.slowest,
            f"{self.back:.2f}",
        )


@dataclass(frozen=True, slots=True)
class _Promise:
    account: str
    folder: str
    size: int
    digest: bytes
    phase: Phase


@dataclass
class Promises:
    """Thread-safe record of what clients were told."""

    phases: list[Phase] = field(default_factory=lambda: [Phase("none", "")])
    broken: list[str] = field(default_factory=list)
    _made: dict[str, _Promise] = field(default_factory=dict)
    _shown: dict[tuple[str, str, int, int], str] = field(default_factory=dict)
    _successes: Counter[str] = field(default_factory=Counter)
    _last: dict[str, float] = field(default_factory=dict)  # what -> begin of its last success
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, fault: str, container: str) -> Phase:
        """Count under a new fault from now on."""
        with self._lock:
            self.phases.append(Phase(fault, container))
            return self.phases[-1]

    def promise(self, token: str, sent: bytes, account: str, folder: str = "INBOX") -> None:
        """Note an acknowledged message."""
        with self._lock:
            phase = self.phases[-1]
            digest = hashlib.sha256(sent).digest()
            self._made[token] = _Promise(account, folder, len(sent), digest, phase)
            phase.promises += 1

    def forget(self, text: bytes) -> None:
        """Forget the promise of a message that its owner removes."""
        with self._lock:
            token = token_of(text)
            assert token is not None
            del self._made[token]

    def refused(self) -> None:
        """Count a temporary refusal, a cut connection or a time-out."""
        with self._lock:
            self.phases[-1].refused += 1

    def bounce(self, text: str) -> None:
        """Note a permanent refusal."""
        with self._lock:
            self.phases[-1].bounced += 1
            self.broken.append(f"bounced during {self._phase()}: {text}")

    def show(self, account: str, folder: str, validity: int, uid: int, text: bytes) -> None:
        """Note that a client saw this message, which is one of ours, under this UID."""
        token = token_of(text)
        key = (account, folder, validity, uid)
        with self._lock:
            if token is None:
                self.broken.append(f"torn during {self._phase()}: {key} {text[:80]!r}")
                return
            before = self._shown.setdefault(key, token)
            if before != token:
                self.broken.append(f"UID reused: {key} was {before}, is {token}")

    def _phase(self) -> str:
        return f"{self.phases[-1].fault} {self.phases[-1].container}"

    # --- work that gets done ----------------------------------------------------------------

    def success(self, what: str, begun: float) -> None:
        """Count something that a client began at this moment and got done."""
        with self._lock:
            self._successes[what] += 1
            self._last[what] = max(begun, self._last.get(what, 0.0))
            self._lock.notify_all()

    def wait_for_all(self, kinds: Iterable[str], since: float, seconds: float) -> tuple[float, str]:
        """Wait until each kind got done by somebody who began after `since`.

        Returns the seconds from `since` to now and the kind that came last. AssertionError where
        one did not within `seconds`.
        """
        left, slowest = set(kinds), ""
        with self._lock:
            while left:
                done = {kind for kind in left if self._last.get(kind, 0.0) >= since}
                if done:
                    slowest = sorted(done)[0]
                    left -= done
                    continue
                wait = since + seconds - time.monotonic()
                assert wait > 0, f"not within {seconds} s after {self._phase()}: {sorted(left)}"
                self._lock.wait(wait)
        return time.monotonic() - since, slowest

    def counts(self) -> dict[str, int]:
        """Return how much of what got done."""
        with self._lock:
            return dict(sorted(self._successes.items()))

    # --- the end ----------------------------------------------------------------------------

    def settle(self, kept: dict[tuple[str, str], list[bytes]]) -> None:
        """Compare with everything that is there: {(account, folder): messages}."""
        found: dict[tuple[str, str, str], list[bytes]] = {}
        for (account, folder), messages in kept.items():
            for text in messages:
                token = token_of(text)
                if token is None:
                    self.broken.append(f"torn at the end: {account} {folder} {text[:80]!r}")
                else:
                    found.setdefault((account, folder, token), []).append(text)
        for token, made in self._made.items():
            copies = found.get((made.account, made.folder, token), [])
            whole = [c for c in copies if hashlib.sha256(c[-made.size :]).digest() == made.digest]
            made.phase.duplicates += max(0, len(whole) - 1)
            if not whole:
                made.phase.lost += 1
                what = "altered" if copies else "lost"
                where = f"{made.account} {made.folder}"
                fault = f"{made.phase.fault} {made.phase.container}"
                self.broken.append(f"{what}: {token} of {where}, promised during {fault}")

    def returned(self, report: bytes) -> None:
        """Count a report of failure that the sender of good mail got."""
        for token, made in self._made.items():
            if token.encode() in report:
                made.phase.bounced += 1
                break
        else:
            self.phases[0].bounced += 1
        self.broken.append(f"a bounce: {report[-1500:]!r}")

    def table(self) -> str:
        """Return the closing table of faults and losses."""
        rows = [HEADINGS, *(phase.cells() for phase in self.phases)]
        total = Phase(
            "all",
            "",
            promises=sum(phase.promises for phase in self.phases),
            lost=sum(phase.lost for phase in self.phases),
            bounced=sum(phase.bounced for phase in self.phases),
            duplicates=sum(phase.duplicates for phase in self.phases),
            refused=sum(phase.refused for phase in self.phases),
            held=sum(phase.held for phase in self.phases),
            recovery=max(phase.recovery for phase in self.phases),
            back=max(phase.back for phase in self.phases),
        )
        rows.append(total.cells())
        widths = [max(len(row[n]) for row in rows) for n in range(len(HEADINGS))]
        lines = [
            "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
            for row in rows
        ]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        counts = "\n".join(f"{count:8d}  {what}" for what, count in self.counts().items())
        return "\n".join(lines) + f"\n\n{counts}\n"
