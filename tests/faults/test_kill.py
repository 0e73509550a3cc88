"""kill -9 of any service at random moments under load: nothing acknowledged is lost or torn.

The short version runs with the suite; `make faults` kills 1,000 times. A variant of the delivery
that writes straight into new/ must be caught by the same ledger. What a power cut does is
test_power_cut.py's: a killed process leaves the kernel's buffers alone.
"""

import os
import random
from pathlib import Path

import pytest

from tests.faults import killing
from tests.faults.ledger import Ledger

WRITES_INTO_NEW = """
import os, sys, time
if "services" in " ".join(sys.orig_argv):
    _open, _write, _rename = os.open, os.write, os.rename
    import restante.store.durable as durable

    def write_all(fd, data):
        # Into the final place, in two halves: what tmp/ and rename are there to prevent.
        path = os.readlink(f"/proc/self/fd/{fd}")
        if "/tmp/" in path and b"X-Token" in bytes(data[:4000]):
            folder, _, name = path.rpartition("/tmp/")
            out = _open(f"{folder}/new/{name}.direct", os.O_CREAT | os.O_WRONLY, 0o600)
            _write(out, data[: len(data) // 2])
            time.sleep(0.01)
            _write(out, data[len(data) // 2 :])
            os.close(out)
        while data:
            data = data[_write(fd, data) :]

    durable.write_all = write_all
"""


def campaign(
    tmp_path: Path, kills: int, *, wrapper: str = "", stop_when_broken: bool = False
) -> Ledger:
    """Run the load, kill so many times, settle."""
    ledger = Ledger()
    dice = random.Random(int(os.environ.get("RESTANTE_TEST_SEED", "7")))
    accounts = [f"user{n}@example.test" for n in range(3)]
    with killing.running(tmp_path / "data", wrapper=wrapper) as stack:
        for account in accounts:
            stack.restante("account", "add", account, "--password-stdin", typed=killing.PASSWORD)
        clients = killing.Clients(stack, accounts, ledger)
        clients.start()
        try:
            killing.kill_at_random(
                stack, kills, ledger, dice, lambda: stop_when_broken and bool(ledger.broken)
            )
        finally:
            clients.finish()
        killing.settle(stack, accounts, ledger)
    print("\n" + "\n".join(f"{n:8d}  {what}" for what, n in sorted(ledger.counts.items())))
    print(f"{len(ledger.promised):8d}  promises\n{len(ledger.broken):8d}  broken")
    return ledger


@pytest.mark.slow
def test_nothing_is_lost_when_processes_are_killed(tmp_path: Path) -> None:
    ledger = campaign(tmp_path, 60)
    assert ledger.broken == []
    assert ledger.counts["kill -9"] == 60
    assert len(ledger.promised) > 50


@pytest.mark.slow
def test_a_delivery_without_tmp_and_rename_is_caught(tmp_path: Path) -> None:
    ledger = campaign(tmp_path, 200, wrapper=WRITES_INTO_NEW, stop_when_broken=True)
    assert any(text.startswith("torn") for text in ledger.broken)


@pytest.mark.campaign
def test_a_thousand_kills(tmp_path: Path) -> None:
    ledger = campaign(tmp_path, int(os.environ.get("RESTANTE_TEST_KILLS", "1000")))
    assert ledger.broken == []
