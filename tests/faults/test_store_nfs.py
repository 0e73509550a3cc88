"""Two hosts on real NFS v4.2 agree on mailboxes whose journal is replaced all the time."""

from pathlib import Path

import pytest

from tests.faults.nfs import guest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(guest.missing() is not None, reason=str(guest.missing())),
]

PROGRAM = "tests.faults.store_nfs_program"


def problems(folder: Path, variant: str, rounds: int) -> list[str]:
    hosts = guest.run_hosts(folder, PROGRAM, [variant, "1", str(rounds)], seconds=300)
    found = []
    for host in hosts:
        assert host.status == 0, host.output
        assert "done" in host.output
        found += [line for line in host.output.split("\n") if line.startswith("PROBLEM")]
    return found


def test_two_hosts_agree_while_the_journal_is_replaced(tmp_path: Path) -> None:
    assert problems(tmp_path, "whole", 4) == []
