"""What each of two hosts does in test_store_nfs.py; run as `-m ... a|b [variant] seed rounds`."""

import pickle
import sys
import time
from pathlib import Path

from restante.store import journal, transaction
from tests.faults.nfs.host_program import MEETING, meet
from tests.faults.store_driver import Worker, check
from tests.unit.store.support import Volume


def main() -> None:
    """Work and check at each checkpoint; host a prints the problems, one a line."""
    host, variant, seed, rounds = sys.argv[1:5]
    vars(transaction)["_COMPACT_RECORDS"] = 10  # have the journal replaced all the time
    if variant == "without-mark":
        vars(journal)["decode_mark"] = lambda head: 0
        vars(journal)["unlinked"] = lambda fd: False
    root = Path.cwd() / "mail"
    if host == "a":
        Volume(root)
    meet(host, "made")
    worker = Worker(root, int(seed) * 100 + ord(host), 1)
    problems: list[str] = []
    for number in range(int(rounds)):
        worker.work(20)
        meet(host, f"worked-{number}")
        for turn in range(2):
            for name in "ab":  # one after the other: what one takes in, the next sees
                if name == host:
                    worker.settle()
                meet(host, f"settled-{number}-{turn}-{name}")
        (MEETING / f"notes.{host}").write_bytes(pickle.dumps(worker.report()))
        meet(host, f"noted-{number}")
        if host == "a":
            notes = [pickle.loads((MEETING / f"notes.{name}").read_bytes()) for name in "ab"]
            problems += check(worker.volume, notes)
        meet(host, f"checked-{number}")
    for problem in problems:
        print("PROBLEM", problem.replace("\n", " | "))
    print("done", time.process_time())


if __name__ == "__main__":
    main()
