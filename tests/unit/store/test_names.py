"""Unique names."""

import multiprocessing
import os
import re
from concurrent.futures import ThreadPoolExecutor

from restante.model import MessageName
from restante.store import names


def test_form() -> None:
    name = names.unique_name()
    assert re.fullmatch(r"\d{10}\.M\d{6}P\d+Q\d+R[0-9a-f]{16}\.[A-Za-z0-9._-]+", name)
    assert f"P{os.getpid()}Q" in name


def test_unique_between_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: names.unique_name(), range(5000)))
    assert len(set(made)) == len(made)


def test_a_forked_process_has_other_names() -> None:
    """Containers share pid 1 and host names: the random part must differ."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(names.unique_name()))
    child.start()
    other = queue.get()
    child.join()
    assert other.partition("R")[2] != names.unique_name().partition("R")[2]


def test_sizes_are_those_that_the_model_reads() -> None:
    parsed = MessageName.parse(names.with_sizes(names.unique_name(), 123, 130) + ":2,S")
    assert (parsed.size, parsed.wire_size) == (123, 130)


def test_keyed_names() -> None:
    name = names.keyed_name("key", "a@b.example")
    assert name == names.keyed_name("key", "a@b.example")
    assert name != names.keyed_name("key", "b@b.example")
    assert names.keyed_name("yz", "x") != names.keyed_name("z", "xy")
    assert names.unique_part(names.with_sizes(name, 1, 2) + ":2,RS") == name
    assert names.unique_part(name) == name
    assert "/" not in name
    assert ":" not in name
