"""What the index costs, in this process and on this disk: python -m tests.bench.store_index [rows].

Prints milliseconds; nothing here is asserted. The folder is made in a temporary directory.
"""

import gc
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from restante.model import Flag
from restante.store.changes import StoreMode
from restante.store.mailbox import Mailbox
from tests.unit.store.support import Volume


def main() -> None:
    """Measure and print."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as directory:
        volume = Volume(Path(directory))
        fill(volume, rows)
        print(f"{rows} messages, milliseconds")
        timed("first opening of an unknown folder (names with sizes)", volume.mailbox)
        time.sleep(0.1)
        settle(volume)
        mailbox = volume.mailbox()
        many("open, warm disk, nothing in memory", 5, volume.mailbox)
        print_cold_process(volume)
        many("refresh, nothing changed", 1000, mailbox.refresh)
        one_new(volume, mailbox, "refresh with one new message")
        one_new(volume, mailbox, "again")
        chosen = list(mailbox.uids)[: min(1000, rows)]
        count = len(chosen)
        timed(
            f"store +FLAGS \\Flagged on {count}",
            lambda: mailbox.store(chosen, StoreMode.ADD, Flag.FLAGGED),
        )
        timed(
            f"store a keyword on {count}",
            lambda: mailbox.store(chosen, StoreMode.ADD, Flag(0), ["work"]),
        )
        other = volume.mailbox(("Archive",))
        timed(f"copy {count}", lambda: mailbox.copy(chosen, other))
        timed(f"move {count}", lambda: mailbox.move(chosen, other))
        uids = list(other.uids)[:count]
        other.store(uids, StoreMode.ADD, Flag.DELETED)
        timed(f"expunge {count}", other.expunge)
        timed("refresh with cur/ listed", lambda: mailbox.refresh(scan=True))
        incoming = [volume.incoming() for _ in range(20)]
        many("append", 20, lambda: mailbox.append(incoming.pop(), Flag.SEEN))
        idle(volume)


def fill(volume: Volume, rows: int) -> None:
    """Put messages into cur/ as they would have come."""
    cur = volume.folder() / "cur"
    text = b"Subject: x\n\nx\n"
    for number in range(rows):
        name = f"17{number:08}.M{number % 1_000_000:06}P77Q{number}R0123456789abcdef.host"
        with open(cur / f"{name},S={len(text)},W={len(text) + 3}:2,S", "wb") as file:
            file.write(text)


def settle(volume: Volume) -> None:
    """Have the marks of the directories settled, as after a quiet minute."""
    volume.mailbox().refresh(scan=True)


def timed(what: str, act: Callable[[], object]) -> None:
    """Print what one call costs."""
    start = time.perf_counter()
    act()
    print(f"  {what:<55} {(time.perf_counter() - start) * 1000:9.2f}")


def many(what: str, times: int, act: Callable[[], object]) -> None:
    """Print what a call costs, the best half of many."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        took.append(time.perf_counter() - start)
    took.sort()
    half = took[: max(1, times // 2)]
    print(f"  {what:<55} {sum(half) / len(half) * 1000:9.3f}")


def one_new(volume: Volume, mailbox: Mailbox, what: str) -> None:
    """Deliver one message and refresh."""
    volume.deliver()
    timed(what, mailbox.refresh)


def print_cold_process(volume: Volume) -> None:
    """Open the folder in a new process, imports left out."""
    code = (
        "import sys,time,pathlib\n"
        "from tests.unit.store.support import Volume\n"
        "v=Volume(pathlib.Path(sys.argv[1]))\n"
        "a=v.account()\n"
        "t=time.perf_counter();v.mailbox();print((time.perf_counter()-t)*1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(volume.root)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    print(f"  {'open in a new process':<55} {float(done.stdout):9.2f}")


def idle(volume: Volume) -> None:
    """Print the memory of mailboxes with few messages that are merely open, with a view each."""
    account = volume.account()
    account.create(("Idle",))
    for _ in range(3):
        volume.deliver(name=("Idle",))
    gc.collect()
    tracemalloc.start()
    held = [Mailbox.open(account, ("Idle",)) for _ in range(2000)]
    views = [mailbox.view() for mailbox in held]
    gc.collect()
    each = tracemalloc.get_traced_memory()[0] / len(held) / 1024
    tracemalloc.stop()
    print(f"  {'KiB for an idle mailbox of 3 messages with a view':<55} {each:9.2f}")
    del views


if __name__ == "__main__":
    main()
