"""Line ends, at every split."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from restante.store.lines import LineStorer, to_stored, to_wire, wire_size_of

wire_data = st.lists(st.sampled_from([b"\r\n", b"\r", b"a", b"bc", b"\0", b".", b"\xff"])).map(
    b"".join
)
any_data = st.lists(st.sampled_from([b"\r", b"\n", b"a", b"\0"])).map(b"".join)


@given(wire_data)
def test_wire_data_survives(data: bytes) -> None:
    assert to_wire(to_stored(data)) == data


@given(any_data)
def test_sizes(data: bytes) -> None:
    assert wire_size_of(data) == len(to_wire(data))
    assert b"\n" not in to_wire(data).replace(b"\r\n", b"")


@given(any_data, st.lists(st.integers(0, 40)))
def test_chunks_give_what_the_whole_gives(data: bytes, cuts: list[int]) -> None:
    storer = LineStorer()
    edges = [0, *sorted(cuts), max([len(data), *cuts])]
    parts = [storer.feed(data[start:end]) for start, end in itertools.pairwise(edges)]
    stored = b"".join(parts) + storer.finish()
    assert stored == to_stored(data)
    assert storer.size == len(stored)
    assert storer.wire_size == len(to_wire(stored))


def test_every_split_of_the_awkward_one() -> None:
    data = b"a\r\n\r\r\nb\r\rc\n\r\r\r\nd\r"
    whole = to_stored(data)
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            storer = LineStorer()
            out = b"".join(
                storer.feed(part) for part in (data[:first], data[first:second], data[second:])
            )
            assert out + storer.finish() == whole


def test_crlf_files_of_others_are_left_alone() -> None:
    assert to_wire(b"a\r\nb\n\nc\r") == b"a\r\nb\r\n\r\nc\r"
