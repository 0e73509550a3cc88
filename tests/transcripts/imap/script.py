r"""Transcripts: what a client says, and what any right server answers.

A transcript is text, one step a line; "#" starts a comment line.

    mail NAME [OPTIONS]     append the sample NAME to INBOX: (\Seen), "date"
    C: COMMAND              send with a fresh tag; \r \n \xNN escapes are undone
    R: TEXT                 send as it is, without a tag (DONE)
    W: * RESPONSE           wait for what the server says unasked
    S: * RESPONSE           must be among the untagged answers
    N: * RESPONSE           must not be among them
    S: OK | NO | BAD        the tagged answer; [CODE ...] is compared if written
    S: +                    a continuation

"C2:", "S2:" are a second connection, logged in as the same user. In a response `_` stands for one
value, `...` for the rest, <name> is bound where it comes first and equal from then on.
FETCH items, STATUS items and LIST attributes are compared without order and may be more than
written; FLAGS are compared as a set without \Recent.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.imap.wire import Wire
from tests.transcripts.imap.samples import SAMPLES
from tests.transcripts.imap.values import Value, pairs, response

_STEP = re.compile(r"([CRSNW])([12]?): ?(.*)")
_ESCAPE = re.compile(r"\\(r|n|x[0-9a-f]{2})")


@dataclass
class Step:
    """What is sent, and what is expected before anything else is sent."""

    number: int  # line in the file
    connection: int
    send: bytes
    raw: bool
    wanted: list[str] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    end: str = ""  # OK, NO, BAD, +


def read(path: Path) -> list[Step]:
    """Read a transcript."""
    steps: list[Step] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("mail "):
            _, name, *options = line.split(" ", 2)
            message = SAMPLES[name]
            text = f"APPEND INBOX {' '.join([*options, ''])}{{{len(message)}+}}\r\n"
            steps.append(Step(number, 1, text.encode() + message, False, end="OK"))
            continue
        found = _STEP.fullmatch(line)
        assert found, f"{path.name}:{number}: {line}"
        kind, connection, text = found[1], int(found[2] or 1), found[3]
        if kind == "W":
            steps.append(Step(number, connection, b"", True, wanted=[text]))
            continue
        if kind in "CR":
            steps.append(Step(number, connection, _octets(text), kind == "R"))
            continue
        step = steps[-1]
        assert step.connection == connection, f"{path.name}:{number}: no command on {connection}"
        if kind == "N":
            step.unwanted.append(text)
        elif text.startswith("* "):
            step.wanted.append(text)
        else:
            step.end = text
    return steps


def _octets(text: str) -> bytes:
    def undo(found: re.Match[str]) -> str:
        return {"r": "\r", "n": "\n"}.get(found[1]) or chr(int(found[1][1:], 16))

    return _ESCAPE.sub(undo, text).encode("latin-1")


class Player:
    """Plays a transcript against a server."""

    def __init__(self, name: str, connect: Callable[[], Wire]) -> None:
        self.name = name
        self._connect = connect
        self._wires: dict[int, Wire] = {}
        self._tags: dict[int, bytes] = {}
        self.bound: dict[str, Value] = {}

    def play(self, steps: list[Step]) -> None:
        """Play all; AssertionError names the line."""
        try:
            for step in steps:
                self._play(step)
        finally:
            for wire in self._wires.values():
                wire.close()

    def _play(self, step: Step) -> None:
        wire = self._wires.get(step.connection)
        if wire is None:
            wire = self._wires[step.connection] = self._connect()
        if step.raw:
            wire.send(step.send + b"\r\n" if step.send else b"")
        else:
            self._tags[step.connection] = wire.start(step.send)
        tag = self._tags[step.connection].decode()
        seen: list[list[Value]] = []
        last: list[Value] = []
        while step.end or len(seen) < len(step.wanted):
            line = wire.line()
            if line.startswith(b"+"):
                last = ["+"]
                break
            value = response(line)
            if value[0] == tag:
                last = value
                break
            seen.append(value)
        place = f"{self.name}:{step.number}: {step.send[:80]!r}"
        for text in step.wanted:
            wanted = response(text.encode("latin-1"))
            assert any(self._is(wanted, one) for one in seen), f"{place}: no {text}\nbut {seen}"
        for text in step.unwanted:
            unwanted = response(text.encode("latin-1"))
            hits = [one for one in seen if self._is(unwanted, one)]
            assert not hits, f"{place}: {hits}"
        if step.end:
            self._check_end(step.end, last, place)

    def _check_end(self, end: str, last: list[Value], place: str) -> None:
        if end.startswith("+"):
            assert last[0] == "+", f"{place}: {last}"
            return
        word, _, rest = end.partition(" ")
        assert len(last) > 1, f"{place}: {last}"
        assert str(last[1]) in word.split("|"), f"{place}: {last}"
        if rest:
            wanted = response(f"* {word} {rest}".encode())[2]
            assert self._same(wanted, last[2]), f"{place}: {last[2]} is not {wanted}"

    # --- comparing --------------------------------------------------------------------------

    def _is(self, wanted: list[Value], seen: list[Value]) -> bool:
        before = dict(self.bound)
        if self._matches(wanted, seen):
            return True
        self.bound = before
        return False

    def _matches(self, wanted: list[Value], seen: list[Value]) -> bool:
        if len(wanted) > 3 and wanted[2] == "FETCH" and len(seen) > 3:
            return self._same(wanted[:3], seen[:3]) and self._fetch(wanted[3], seen[3])
        word = wanted[1]
        if word == "STATUS" and len(seen) > 3 and len(wanted) > 3:
            return self._same(wanted[:3], seen[:3]) and self._within(wanted[3], seen[3])
        if word in ("LIST", "LSUB") and len(seen) > 4 and len(wanted) > 4:
            attributes, got = wanted[2], seen[2]
            if not (isinstance(attributes, list) and isinstance(got, list)):
                return False
            lower = {str(one).lower() for one in got}
            return (
                seen[1] == word
                and all(str(one).lower() in lower for one in attributes)
                and self._same(wanted[3:5], seen[3:5])
            )
        if word in ("SEARCH", "CAPABILITY", "ENABLED") and wanted[-1] != "...":
            return seen[1] == word and set(map(str, wanted)) == set(map(str, seen))
        if word == "ESEARCH" and seen[1] == "ESEARCH":
            return self._esearch(wanted[2:], seen[2:])
        return self._same(wanted, seen)

    def _fetch(self, wanted: Value, seen: Value) -> bool:
        if not (isinstance(wanted, list) and isinstance(seen, list)):
            return False
        left, right = pairs(wanted), pairs(seen)
        for name, value in left.items():
            if name not in right:
                return False
            got = right[name]
            if name == "FLAGS" and isinstance(value, list) and isinstance(got, list):
                if {str(f).lower() for f in value} != {str(f).lower() for f in got} - {"\\recent"}:
                    return False
            elif not self._same(value, got):
                return False
        return True

    def _within(self, wanted: Value, seen: Value) -> bool:
        if not (isinstance(wanted, list) and isinstance(seen, list)):
            return False
        left, right = pairs(wanted), pairs(seen)
        return all(name in right and self._same(left[name], right[name]) for name in left)

    def _esearch(self, wanted: list[Value], seen: list[Value]) -> bool:
        def plain(values: list[Value]) -> list[Value]:
            return [v for v in values if not isinstance(v, list)]

        left, right = plain(wanted), plain(seen)
        if ("UID" in left) != ("UID" in right):
            return False
        left, right = ([v for v in side if v != "UID"] for side in (left, right))
        return pairs(left).keys() == pairs(right).keys() and self._within(left, right)

    def _same(self, wanted: Value, seen: Value) -> bool:
        if isinstance(wanted, list):
            if not isinstance(seen, list):
                return False
            if wanted and wanted[-1] == "...":
                wanted = wanted[:-1]
                seen = seen[: len(wanted)]
            return len(wanted) == len(seen) and all(
                self._same(one, other) for one, other in zip(wanted, seen, strict=True)
            )
        if wanted == "_":
            return True
        if wanted is not None and re.fullmatch(r"<\w+>", wanted):
            return self.bound.setdefault(wanted, seen) == seen
        if isinstance(wanted, str) and isinstance(seen, str):
            return wanted == seen or (wanted.upper() == seen.upper() and wanted.isascii())
        return wanted == seen
