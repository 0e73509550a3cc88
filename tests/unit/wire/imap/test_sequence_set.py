"""Sequence sets: the intervals mean what RFC 3501 says, at a bounded price."""

import time
from array import array
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.imap.sequence_set import STAR, BadSetError, SequenceSet, compact

NUMBER = st.integers(1, 40)
ITEM = st.one_of(
    st.just(b"*"),
    NUMBER.map(lambda n: b"%d" % n),
    st.tuples(NUMBER, NUMBER).map(lambda p: b"%d:%d" % p),
    NUMBER.map(lambda n: b"%d:*" % n),
    NUMBER.map(lambda n: b"*:%d" % n),
)
TEXT = st.lists(ITEM, min_size=1, max_size=12).map(b",".join)
COLUMN = st.sets(NUMBER, max_size=30).map(sorted)


def meant(text: bytes, highest: int) -> set[int]:
    """What the RFC says, in the dearest way."""
    out: set[int] = set()
    for item in text.split(b","):
        ends = [highest if end == b"*" else int(end) for end in item.split(b":")]
        out.update(range(min(ends), max(ends) + 1))
    return out


def selected(numbers: SequenceSet, column: Sequence[int]) -> list[int]:
    """Return the members of an ascending column."""
    return [n for start, stop in numbers.ranges(column) for n in column[start:stop]]


@given(TEXT, COLUMN)
def test_ranges_are_what_the_rfc_says(text: bytes, column: list[int]) -> None:
    wanted = meant(text, column[-1] if column else 0)
    numbers = SequenceSet.parse(text)
    assert selected(numbers, array("I", column)) == [n for n in column if n in wanted]


@given(TEXT)
def test_intervals_are_disjoint_and_ascending(text: bytes) -> None:
    intervals = SequenceSet.parse(text).intervals
    assert all(low <= high for low, high in intervals)
    for (_, high), (low, _) in pairwise(intervals):
        assert low > high + 1 or low == STAR


@given(TEXT)
def test_written_and_read_again_is_the_same(text: bytes) -> None:
    numbers = SequenceSet.parse(text)
    assert SequenceSet.parse(bytes(numbers)) == numbers


@given(st.sets(st.integers(1, STAR - 1), min_size=1).map(sorted))
def test_compact_writes_exactly_the_numbers(numbers: list[int]) -> None:
    text = compact(numbers)
    assert SequenceSet.parse(text) == SequenceSet.of(numbers)
    assert selected(SequenceSet.parse(text), numbers) == numbers


def test_compact_of_nothing_is_empty() -> None:
    assert compact([]) == b""
    assert not SequenceSet.of([])


@pytest.mark.parametrize(
    ("text", "count", "rows"),
    [
        (b"1:*", 3, [range(3)]),
        (b"*", 3, [range(2, 3)]),
        (b"5:*", 3, [range(2, 3)]),
        (b"*:5", 3, [range(2, 3)]),
        (b"1,3", 3, [range(1), range(2, 3)]),
        (b"1:*", 0, []),
        (b"2,4294967295", 3, [range(1, 2)]),
        (b"3,*", 3, [range(2, 3)]),
    ],
)
def test_rows_of_sequence_numbers(text: bytes, count: int, rows: list[range]) -> None:
    ranges = SequenceSet.parse(text).ranges(range(1, count + 1))
    assert [range(start, stop) for start, stop in ranges] == rows


@pytest.mark.parametrize(
    ("text", "count", "beyond"),
    [
        (b"1:3", 3, False),
        (b"1:4", 3, True),
        (b"4:*", 3, True),
        (b"1:*", 3, False),
        (b"*", 3, False),
        (b"*", 0, True),
        (b"9,*", 3, True),
        (b"1:*", 0, True),
        (b"2,*", 3, False),
        (b"2:3,9", 8, True),
    ],
)
def test_beyond_names_numbers_that_no_message_has(text: bytes, count: int, beyond: bool) -> None:
    assert SequenceSet.parse(text).beyond(count) is beyond


def test_dollar_is_the_saved_result() -> None:
    numbers = SequenceSet.parse(b"$")
    assert numbers.saved
    assert numbers
    assert bytes(numbers) == b"$"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"0:3",
        b"1,,2",
        b",1",
        b"1,",
        b"1:",
        b":1",
        b"1:2:3",
        b"-1",
        b"4294967296",
        b"99999999999",
        b"1 2",
        b"$,1",
        b"1,$",
        b"**",
        b"a",
        b"1:4294967296",
        b"+1",
        b"1_0",
    ],
)
def test_what_is_no_set_is_refused(text: bytes) -> None:
    with pytest.raises(BadSetError):
        SequenceSet.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        b"1:4294967295" + b",1" * 524_000,
        b",".join(b"%d" % (i * 7 % 4_000_000 + 1) for i in range(130_000)),
        b"1:*," * 262_000 + b"1",
        b"*:*," * 262_000 + b"x",
        b"1:" * 524_000,
    ],
)
def test_a_mebibyte_of_garbage_is_cheap(text: bytes) -> None:
    began = time.process_time()
    try:
        numbers = SequenceSet.parse(text)
    except BadSetError:
        numbers = SequenceSet()
    selected(numbers, range(1, 100_001))
    assert time.process_time() - began < 5  # a bound against quadratic work, not a benchmark
