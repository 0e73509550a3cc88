"""The store on real NFS v4.2 from two hosts at once (guest.py makes them)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.nfs import guest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(guest.missing() is not None, reason=str(guest.missing())),
]

PROGRAM = "tests.faults.nfs.host_program"


def run(folder: Path, what: str, rounds: int) -> list[dict[str, Any]]:
    hosts = guest.run_hosts(folder, PROGRAM, [what, str(rounds)], seconds=300)
    outputs = "\n".join(host.output for host in hosts)
    assert [host.status for host in hosts] == [0, 0], outputs
    return [json.loads(host.output.strip().split("\n")[-1]) for host in hosts]


def test_no_increment_under_the_lock_is_lost(tmp_path: Path) -> None:
    one, two = run(tmp_path, "count", 100)
    assert one["number"] == two["number"] == 200


def test_increments_without_the_lock_are_caught(tmp_path: Path) -> None:
    one, _ = run(tmp_path, "count-badly", 100)
    assert one["number"] < 200


def test_two_hosts_agree_on_messages_uids_flags_and_keywords(tmp_path: Path) -> None:
    rounds = 8
    one, two = run(tmp_path, "agree", rounds)
    for number, (first, second) in enumerate(zip(one["states"], two["states"], strict=True)):
        assert first == second, f"after round {number}"
    assert len(one["states"]) == rounds
    # No UID stood for two messages, on either host or between them.
    for uid, token in one["seen"].items():
        assert two["seen"].get(uid, token) == token
        assert two["tokens"].get(uid, token) == token
    # Nothing was lost: what was delivered and not removed is there.
    delivered = set(one["delivered"]) | set(two["delivered"])
    kept = set(one["tokens"].values())
    assert kept <= delivered
    assert len(delivered) - len(kept) == len(set(one["removed"]) | set(two["removed"]))
