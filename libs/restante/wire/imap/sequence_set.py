"""Sets of sequence numbers or UIDs (RFC 3501 section 9, RFC 5182).

A set is a tuple of disjoint, ascending, not adjacent intervals (low, high), whatever the client
wrote. "*" is STAR, a number above every other: `5:*` is (5, STAR) and always holds the
highest number in use, even where that is below 5. All work is bounded by the number of
intervals, never by the numbers they span.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

STAR: Final = 1 << 32
_MAX: Final = STAR - 1
_DIGITS: Final = 10  # of the highest number
# Item by item: one expression for the whole would need a possessive group, and these match wrong
# before Python 3.11.5 where an item breaks off in its middle.
_CHARACTERS: Final = re.compile(rb"[0-9:*,]+\Z").match
_RANGE: Final = re.compile(rb"(?:[0-9]{1,10}|\*)(?::(?:[0-9]{1,10}|\*))?\Z").match


class BadSetError(ValueError):
    """The text is no sequence set."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """`saved` is "$", the result that SEARCH saved; then there are no intervals."""

    intervals: tuple[tuple[int, int], ...] = ()
    saved: bool = False

    @classmethod
    def parse(cls, text: bytes) -> "SequenceSet":
        """Parse `1:3,7,9:*` or `$`. Raises BadSetError."""
        if text == b"$":
            return cls((), saved=True)
        if _CHARACTERS(text) is None:
            raise BadSetError
        # Repeats cost nothing but this: the set drops them before any number is read.
        items = set(text.split(b","))
        if b":" not in text and b"*" not in text:
            if b"" in items or max(map(len, items)) > _DIGITS:
                raise BadSetError
            numbers = set(map(int, items))
            if min(numbers) < 1 or max(numbers) > _MAX:
                raise BadSetError
            return cls.of(numbers)
        found: list[tuple[int, int]] = []
        for item in items:
            if _RANGE(item) is None:
                raise BadSetError
            if b":" in item:
                low_text, _, high_text = item.partition(b":")
                low, high = _number(low_text), _number(high_text)
                found.append((low, high) if low <= high else (high, low))
            else:
                low = _number(item)
                found.append((low, low))
        return cls(_merged(found))

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "SequenceSet":
        """Make a set of numbers in any order."""
        found: list[tuple[int, int]] = []
        low = high = 0
        for number in sorted(numbers):
            if number == high + 1 and low:
                high = number
            elif number != high:
                if low:
                    found.append((low, high))
                low = high = number
        if low:
            found.append((low, high))
        return cls(tuple(found))

    def ranges(self, numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield the [start, stop) index ranges of `numbers` (ascending) that are in the set."""
        count = len(numbers)
        done = 0
        for low, high in self.intervals:
            start = max(bisect_left(numbers, low, done), done)
            if high >= STAR:
                start, stop = max(min(start, count - 1), done), count
            else:
                stop = bisect_right(numbers, high, start)
            if start < stop:
                yield start, stop
                done = stop

    def beyond(self, count: int) -> bool:
        """True if a sequence number above `count` is named; "*" is, if the mailbox is empty."""
        for low, high in self.intervals[-2:]:  # the last may be "*" alone
            highest = low if high >= STAR else high
            if highest > count and (low < STAR or count == 0):
                return True
        return False

    def __bytes__(self) -> bytes:
        if self.saved:
            return b"$"
        return b",".join(
            _text(low) if low == high else _text(low) + b":" + _text(high)
            for low, high in self.intervals
        )

    def __bool__(self) -> bool:
        return self.saved or bool(self.intervals)


def compact(numbers: Sequence[int]) -> bytes:
    """Write ascending numbers as the shortest set, such as b"1:3,7"; b"" for none."""
    out: list[bytes] = []
    i, count = 0, len(numbers)
    while i < count:
        first = last = numbers[i]
        i += 1
        while i < count and numbers[i] == last + 1:
            last += 1
            i += 1
        out.append(b"%d" % first if first == last else b"%d:%d" % (first, last))
    return b",".join(out)


def _number(text: bytes) -> int:
    if text == b"*":
        return STAR
    number = int(text)
    if not 0 < number <= _MAX:
        raise BadSetError
    return number


def _text(number: int) -> bytes:
    return b"*" if number >= STAR else b"%d" % number


def _merged(found: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    if len(found) < 2:
        return tuple(found)
    found.sort()
    out: list[tuple[int, int]] = []
    low, high = found[0]
    for next_low, next_high in found:
        # STAR is not adjacent to the highest number: it may be any.
        if next_low <= high + 1 and not (next_low == STAR and high < STAR):
            high = max(high, next_high)
        else:
            out.append((low, high))
            low, high = next_low, next_high
    out.append((low, high))
    return tuple(out)
