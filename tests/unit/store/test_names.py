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


def test_a_name_holds_the_id_of_its_message() -> None:
    id = names.new_id()
    made = {names.unique_name(id) for _ in range(1000)}
    assert len(made) == 1000
    assert {names.message_id(names.with_sizes(name, 1, 2)) for name in made} == {id}
    assert names.message_id(names.unique_name() + ":2,S") != id


def test_a_copy_keeps_id_and_sizes() -> None:
    base = names.with_sizes(names.unique_name(names.new_id()), 11, 12)
    copy = names.renewed(base.encode()).decode()
    assert copy != base
    assert names.message_id(copy) == names.message_id(base)
    assert copy.endswith(",S=11,W=12")


def test_the_id_of_a_name_that_is_not_ours() -> None:
    exim = "1700000000.H123456P77.mx.example"
    assert names.message_id(exim + ",S=5") == exim
    keyed = names.keyed_name("key", "a@b.example")
    assert names.message_id(keyed + ",S=5,W=6") == keyed
    assert re.fullmatch("[0-9a-f]{16}", names.message_id(names.renewed(exim.encode()).decode()))


def test_no_two_copies_by_processes_of_one_pid_and_host_are_the_same() -> None:
    id, first = names.new_id(), names._process.counter
    names._after_fork()
    assert next(first) != next(names._process.counter)
    assert names.message_id(names.unique_name(id)) == id
