"""Processes, threads and other programs work on one mailbox and agree at every checkpoint.

The same run with a store that is broken on purpose must be found out, or it would prove nothing.
"""

import multiprocessing
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from restante.store import journal, transaction
from tests.faults.store_driver import Notes, Worker, check
from tests.unit.store.support import Volume

_fork = multiprocessing.get_context("fork")
Variant = Callable[[], None]


def _serve(root: Path, seed: int, threads: int, pipe: Connection, variant: Variant) -> None:
    """A worker process: does what the pipe says and answers with its notes."""
    variant()
    worker = Worker(root, seed, threads)
    while (command := pipe.recv()) is not None:
        if command == "settle":
            worker.settle()
            pipe.send(None)
        elif command == "report":
            pipe.send(worker.report())
        else:
            worker.work(command)
            pipe.send(None)


def run(
    root: Path,
    seed: int,
    *,
    processes: int = 2,
    threads: int = 3,
    checkpoints: int = 4,
    operations: int = 40,
    variant: Variant = lambda: None,
) -> list[str]:
    """Run workers; returns the problems of the first checkpoint that has some."""
    volume = Volume(root)
    pipes: list[Connection] = []
    children = []
    for number in range(processes):
        ours, theirs = _fork.Pipe()
        child = _fork.Process(
            target=_serve, args=(root, seed * 100 + number, threads, theirs, variant), daemon=True
        )
        child.start()
        theirs.close()
        pipes.append(ours)
        children.append(child)
    try:
        for _ in range(checkpoints):
            _ask(pipes, operations)
            for _ in range(2):
                for pipe in pipes:  # one after the other: what one takes in, the next sees
                    _ask([pipe], "settle")
            notes: list[Notes] = _ask(pipes, "report")
            problems = check(volume, notes)
            if problems:
                return problems
        for pipe in pipes:
            pipe.send(None)
        for child in children:
            child.join(30)
    except (EOFError, BrokenPipeError):
        return ["a worker died"]
    finally:
        for child in children:
            child.kill()
    return []


def _ask(pipes: list[Connection], what: object) -> list[Any]:
    for pipe in pipes:
        pipe.send(what)
    return [pipe.recv() for pipe in pipes]


def compact_often() -> None:
    """Have the journal replaced every few operations."""
    vars(transaction)["_COMPACT_RECORDS"] = 30


@pytest.mark.parametrize("seed", range(3))
def test_workers_agree(tmp_path: Path, seed: int) -> None:
    assert run(tmp_path, seed) == []


@pytest.mark.parametrize("seed", range(3))
def test_workers_agree_while_the_journal_is_replaced_often(tmp_path: Path, seed: int) -> None:
    assert run(tmp_path, seed, variant=compact_often) == []


@pytest.mark.slow
def test_many_workers_agree(tmp_path: Path) -> None:
    problems = run(
        tmp_path, 7, processes=3, threads=3, checkpoints=4, operations=50, variant=compact_often
    )
    assert problems == []


# --- stores that are broken on purpose ----------------------------------------------------------


def without_lock() -> None:
    """The journal is not locked."""
    vars(journal)["locked"] = lambda fd, **_: nullcontext()


def without_mark() -> None:
    """The journal is replaced without a mark in the old file, and nobody asks for one."""
    compact_often()
    vars(journal)["decode_mark"] = lambda head: 0
    vars(journal)["unlinked"] = lambda fd: False


@pytest.mark.parametrize("variant", [without_lock, without_mark])
def test_a_broken_store_is_found_out(tmp_path: Path, variant: Variant) -> None:
    found = any(
        run(tmp_path / str(seed), seed, checkpoints=3, variant=variant) for seed in range(8)
    )
    assert found
