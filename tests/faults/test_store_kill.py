"""Processes that use the store are killed, anywhere; what they were told stays true.

Three ways to die: at every single system call that changes something, in turn (`die_at`); in the
middle of every write to the journal; and by kill -9 at random moments under load. Afterwards no
message is lost or torn, no UID means another message, nothing that was removed comes back, flags
are those before or after the operation, and a process that had the folder open all the time agrees
with a new one. The same checks must find out stores that are broken on purpose.
"""

import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restante.model import INBOX, Flag
from restante.store import journal as journal_module
from restante.store import transaction
from restante.store.changes import StoreMode
from restante.store.journal import Journal
from restante.store.mailbox import Mailbox
from tests.faults.store_driver import FOLDERS, Notes, Worker, check, state_of, text_of
from tests.faults.test_store_agree import compact_often
from tests.unit.store.support import MESSAGE, Volume

ARCHIVE = FOLDERS[1]
CHANGING = frozenset(
    ["rename", "unlink", "link", "pwrite", "ftruncate", "write", "utime", "fsync", "fdatasync"]
)

Variant = Callable[[], None]
Operation = Callable[[Volume, Mailbox, Mailbox], object]


def _new_mail(volume: Volume, inbox: Mailbox, archive: Mailbox) -> object:
    volume.drop("99.dropped")
    volume.drop("98.dropped")
    return inbox.refresh()


OPERATIONS: dict[str, Operation] = {
    "new mail": _new_mail,
    "store": lambda v, inbox, a: inbox.store(
        [1, 2], StoreMode.SET, Flag.SEEN | Flag.FLAGGED, ["red", "new"]
    ),
    "expunge": lambda v, inbox, a: inbox.expunge(),
    "append": lambda v, inbox, a: inbox.append(v.incoming(), Flag.SEEN, ["red"], 5),
    "copy": lambda v, inbox, archive: inbox.copy([1, 3], archive),
    "move": lambda v, inbox, archive: inbox.move([1, 3], archive),
    "move within": lambda v, inbox, archive: inbox.move([1, 3], inbox),
    "first opening": lambda v, inbox, a: v.mailbox(("Drafts",)),
}


class Prepared:
    """A volume with three messages in INBOX, of which the second is \\Deleted, one in Archive."""

    def __init__(self, root: Path) -> None:
        self.volume = volume = Volume(root)
        for _ in range(3):
            volume.deliver()
        volume.deliver(name=ARCHIVE)
        volume.deliver(name=("Drafts",))
        self.inbox, self.archive = volume.mailbox(), volume.mailbox(ARCHIVE)
        self.inbox.store([2], StoreMode.SET, Flag.DELETED, ["red"])
        # Processes that live on and refresh only afterwards.
        self.survivors = [volume.mailbox(), volume.mailbox(ARCHIVE)]
        self.uids = {
            (mailbox.name, uid): base
            for mailbox in self.survivors
            for uid, (base, _, _) in state_of(mailbox).items()
        }
        self.before = state_of(self.inbox)

    def die(self, operation: Operation, at: int, torn: bool) -> bool:
        """Do the operation in a child that dies at its n-th change; False where it got through.

        A child that gets through tells the UIDs that it was told.
        """
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            code = 3
            with contextlib.suppress(BaseException):
                die_at(at, torn=torn)
                operation(self.volume, self.inbox, self.archive)
                for mailbox in (self.inbox, self.archive):
                    for uid, (base, _, _) in state_of(mailbox).items():
                        os.write(theirs, repr((mailbox.name, uid, base)).encode() + b"\n")
                code = 0
            os._exit(code)
        os.close(theirs)
        with open(ours, "rb") as told:
            lines = told.read().splitlines()
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
        for line in lines:
            name, uid, base = eval(line)  # our own repr
            self.uids[name, uid] = base
        # Mail that sorts before what the dead process took in must not get its UIDs.
        self.volume.drop("1.early")
        return os.waitstatus_to_exitcode(status) < 0

    def problems(self, kind: str) -> list[str]:
        """Compare what is there now with what anybody was told."""
        problems = []
        states = {}
        for survivor in self.survivors:
            fresh = self.volume.mailbox(survivor.name)
            survivor.refresh()
            state = states[survivor.name] = state_of(fresh)
            if (survivor.uidvalidity, state_of(survivor)) != (fresh.uidvalidity, state):
                problems.append(f"survivor {state_of(survivor)}, new process {state}")
            for uid, (base, _, _) in state.items():
                if self.uids.setdefault((survivor.name, uid), base) != base:
                    problems.append(f"UID {uid} was {self.uids[survivor.name, uid]}, is {base}")
                if fresh.read(uid) not in (MESSAGE, b"Subject: x\r\n\r\nx\r\n"):
                    problems.append(f"UID {uid} is torn")
            if self.volume.names("new", survivor.name):
                problems.append("left in new/")
            on_disk = {n.partition(":2,")[0] for n in self.volume.names("cur", survivor.name)}
            if on_disk != {base for base, _, _ in state.values()}:
                problems.append(f"index {state}, disk {on_disk}")
        return problems + self._expected(kind, states[INBOX], states[ARCHIVE])

    def _expected(self, kind: str, inbox: Any, archive: Any) -> list[str]:
        problems = []
        bases = [base for base, _, _ in (*inbox.values(), *archive.values())]
        for uid, (base, flags, keywords) in self.before.items():
            if kind == "expunge" and uid == 2:
                continue
            if "move" in kind and uid in (1, 3):
                if kind == "move" and bases.count(base) != 1:
                    problems.append(f"{base} is there {bases.count(base)} times")
                continue
            if uid not in inbox or inbox[uid][0] != base:
                problems.append(f"UID {uid} is lost")
            elif kind != "store" and inbox[uid] != (base, flags, keywords):
                problems.append(f"UID {uid} was changed to {inbox[uid]}")
            elif kind == "store" and not _one_of(inbox[uid], (base, flags, keywords)):
                problems.append(f"UID {uid} is {inbox[uid]}")
        if "move" in kind and len(bases) != 5:
            problems.append(f"{len(bases)} messages after a move")
        if any(bases.count(base) > 1 for base in ("98.dropped", "99.dropped")):
            problems.append("a new message is there twice")
        return problems

    def go_on(self) -> list[str]:
        """Give out more UIDs: none that anybody was told before."""
        problems = []
        for name in FOLDERS:
            base = self.volume.deliver(name=name)
            state = state_of(self.volume.mailbox(name))
            uid = next(uid for uid, (other, _, _) in state.items() if other == base)
            if self.uids.get((name, uid), base) != base:
                problems.append(f"UID {uid} is used again")
        return problems


def _one_of(now: Any, before: Any) -> bool:
    """Flags and keywords are each the old or the new ones."""
    return now[1] in (before[1], Flag.SEEN | Flag.FLAGGED) and now[2] in (
        before[2],
        frozenset(("red", "new")),
    )


def die_at(number: int, *, torn: bool) -> None:
    """Let this process be killed at its n-th change of the disk, or in the middle of it."""
    counter = itertools.count()

    def replaced(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if next(counter) == number:
                if torn and name == "pwrite":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in CHANGING:
        setattr(os, name, replaced(name))


def sweep(root: Path, kind: str, *, torn: bool = False, variant: Variant = lambda: None) -> Any:
    """Die at each change of an operation in turn; yields the problems of each."""
    for at in itertools.count():
        prepared = Prepared(root / str(at))
        operation = OPERATIONS[kind]

        def broken(v: Volume, inbox: Mailbox, a: Mailbox, act: Operation = operation) -> object:
            variant()
            return act(v, inbox, a)

        died = prepared.die(broken, at, torn)
        problems = prepared.problems(kind) + prepared.go_on()
        if problems:
            yield at, problems
        if not died:
            assert at > 3, "nothing was changed"
            return


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("kind", OPERATIONS)
def test_death_at_any_change_does_no_harm(tmp_path: Path, kind: str, torn: bool) -> None:
    assert list(sweep(tmp_path, kind, torn=torn)) == []


@pytest.mark.parametrize("kind", ["new mail", "store", "expunge"])
def test_death_while_the_journal_is_replaced(tmp_path: Path, kind: str) -> None:
    assert list(sweep(tmp_path, kind, variant=compact_always)) == []


def compact_always() -> None:
    """Have the journal replaced after each operation."""
    vars(transaction)["_COMPACT_RECORDS"] = -1


# --- kill -9 under load -------------------------------------------------------------------------


def kill_often(root: Path, seed: int, rounds: int, variant: Variant) -> list[str]:
    """Kill two working processes again and again; returns the problems of the first bad round."""
    choice = random.Random(seed)
    volume = Volume(root)
    logs = []
    for number in range(rounds):
        children = []
        for worker in range(2):
            log = root / f"log-{number}-{worker}"
            logs.append(log)
            children.append(_start(root, seed * 1000 + number * 2 + worker, log, variant))
        time.sleep(choice.uniform(0.05, 0.3))
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
        notes = [Notes.read(log) for log in logs]
        problems = check(volume, notes, killed=True)
        if problems:
            return problems
    return []


def _start(root: Path, seed: int, log: Path, variant: Variant) -> int:
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        variant()
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        worker = Worker(root, seed, 2, fd)
        while not worker.notes.problems:
            worker.work(20)
        os.write(fd, repr(("added", (), f"PROBLEM {worker.notes.problems}")).encode() + b"\n")
    os._exit(1)


def test_kill_9_under_load(tmp_path: Path) -> None:
    assert kill_often(tmp_path, 1, 12, compact_often) == []


@pytest.mark.campaign
def test_a_thousand_kills(tmp_path: Path) -> None:
    for seed in range(50):
        assert kill_often(tmp_path / str(seed), seed, 10, compact_often) == []


# --- stores that are broken on purpose ----------------------------------------------------------


def uids_are_not_durable() -> None:
    """Records are written when the next ones come."""
    real = Journal.append
    late: list[bytes] = []

    def append(self: Journal, data: bytes, *, sync: bool = True) -> None:
        held = b"".join(late)
        late[:] = [data]
        if held:
            real(self, held, sync=sync)

    vars(journal_module)["Journal"].append = append


def replaced_in_place() -> None:
    """The journal is written anew in place."""
    compact_always()

    def replace(self: Journal, uidvalidity: int, pieces: Iterator[bytes]) -> None:
        data = list(pieces)
        self.begin(uidvalidity, data)

    vars(journal_module)["Journal"].replace = replace


@pytest.mark.parametrize(
    ("variant", "kind"), [(uids_are_not_durable, "new mail"), (replaced_in_place, "store")]
)
def test_a_broken_store_is_found_out(tmp_path: Path, variant: Variant, kind: str) -> None:
    assert list(sweep(tmp_path, kind, variant=variant))


def test_messages_lost_by_a_killed_delivery_are_found_out(tmp_path: Path) -> None:
    """The checker of kill_often sees a lost message: one that was noted and taken away."""
    volume = Volume(tmp_path)
    notes = Notes()
    base = volume.deliver(text_of(random.Random(1)))
    notes.note("added", INBOX, base)
    volume.mailbox()
    assert check(volume, [notes], killed=True) == []
    for name in volume.names("cur"):
        os.unlink(volume.folder() / "cur" / name)
    assert check(volume, [notes], killed=True)
