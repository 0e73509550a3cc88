"""Backups of a system under load, and restores, killed at random moments.

What was acknowledged before a backup began is in it, although messages are delivered, flagged,
moved and removed all the while. A backup or restore that was killed is completed by the next one,
and leaves no torn message, nothing twice, and no UID with two meanings.
"""

import imaplib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from restante.store.backup.packs import PackReader
from restante.store.backup.place import AccountPlace
from tests.faults import killing
from tests.faults.killing import PASSWORD, REFUSED, Clients, Stack
from tests.faults.ledger import Ledger, token_of

ACCOUNTS = [f"user{n}@example.test" for n in range(3)]


class Wanderers(Clients):
    """The usual clients, and one per account that moves, flags and removes what it may."""

    def start(self) -> None:
        super().start()
        for account in self.accounts:
            thread = threading.Thread(target=self._wander, args=(account,))
            thread.start()
            self.threads.append(thread)

    def _wander(self, account: str) -> None:
        dice = random.Random(account)
        while not self.stop.is_set():
            try:
                imap = imaplib.IMAP4("127.0.0.1", self.stack.ports["imap"], timeout=20)
                imap.login(account, PASSWORD)
                for source, target in (("INBOX", "INBOX.Archive"), ("INBOX.Archive", "INBOX")):
                    if self.stop.is_set():
                        break
                    imap.select(source)
                    uids = (imap.uid("SEARCH", "ALL")[1][0] or b"").split()
                    chosen = b",".join(dice.sample(uids, min(5, len(uids)))).decode()
                    if not chosen:
                        continue
                    imap.uid("STORE", chosen, "+FLAGS", "(\\Seen wandering)")
                    if dice.random() < 0.5:
                        imap.uid("MOVE", chosen, target)
                    else:  # as clients without MOVE do it
                        status, _ = imap.uid("COPY", chosen, target)
                        if status == "OK":
                            imap.uid("STORE", chosen, "+FLAGS", "(\\Deleted)")
                            imap.expunge()
                    self.ledger.count("moved")
                imap.logout()
            except REFUSED:
                self.ledger.count("refused or cut")
                self.stop.wait(0.02)
            except BaseException as fault:  # a broken client breaks the test
                self.faults.append(fault)
                return


def tokens(target: Path, account: str) -> set[str]:
    """Return the tokens of all whole messages of the last run."""
    place = AccountPlace(target, account)
    rows = [row for folder in place.read(place.choose()).folders for row in folder.rows]
    found = set()
    with PackReader(place) as packs:
        packs.open({row.pack for row in rows})
        for row in rows:
            message = re.sub(rb"\r?\n", b"\r\n", b"".join(packs.chunks(row)))
            if b"X-Token: " in message:
                token = token_of(message)
                assert token is not None, "a torn message in the backup"
                found.add(token)
    return found


def command(stack: Stack, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "services", "mail", *words],
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def complete(stack: Stack, *words: str) -> float:
    """Run to a good end; return the seconds."""
    begun = time.monotonic()
    process = command(stack, *words)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return time.monotonic() - begun


def killed(stack: Stack, after: float, *words: str) -> bool:
    """Run and kill after so many seconds; False where it was quicker."""
    process = command(stack, *words)
    try:
        output, _ = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, output
    return False


def back_up_under_load(stack: Stack, target: Path, ledger: Ledger, kills: int) -> int:
    """Back up again and again while clients work; returns how many runs were killed."""
    dice = random.Random(3)
    words = ("backup", "--all", "--to", str(target))
    seconds = complete(stack, *words)
    done = 0
    for number in range(kills):
        ledger.wait_for_work(20, seconds=30)
        full = ("--full",) if number % 3 == 0 else ()
        done += killed(stack, dice.uniform(0.3, 1.1) * seconds, *words, *full)
        if number % 3 == 2:
            before = dict(ledger.promised)
            seconds = complete(stack, *words)
            found = {account: tokens(target, account) for account in ACCOUNTS}
            missing = [t for t, account in before.items() if t not in found[account]]
            assert not missing, f"{len(missing)} of {len(before)} acknowledged are not saved"
    return done


def restore_with_kills(stack: Stack, target: Path, kills: int) -> int:
    """Lose all accounts, restore and kill, then restore for good; returns the kills."""
    dice = random.Random(4)
    words = ("restore", "--all", "--from", str(target))
    seconds = complete(stack, *words)
    for maildir in list((stack.data / "mail").rglob("Maildir")):
        if "user" in str(maildir):
            shutil.rmtree(maildir)
    done = sum(
        killed(stack, dice.uniform(0.4, 1.2) * seconds, *words, "--jobs", "1") for _ in range(kills)
    )
    complete(stack, *words)
    return done


@pytest.mark.slow
def test_backups_under_load_and_restores_that_are_killed(tmp_path: Path) -> None:
    ledger = Ledger()
    target = tmp_path / "backups"
    with killing.running(tmp_path / "data", workers=1) as stack:
        for account in ACCOUNTS:
            stack.restante("account", "add", account, "--password-stdin", typed=PASSWORD)
        clients = Wanderers(stack, ACCOUNTS, ledger)
        clients.start()
        try:
            ledger.wait_for_work(50, seconds=60)
            first = back_up_under_load(stack, target, ledger, 12)
        finally:
            clients.finish()
        complete(stack, "backup", "--all", "--to", str(target))
        checked = complete(stack, "backups", "--all", "--from", str(target), "--check")
        assert checked
        second = restore_with_kills(stack, target, 13)
        killing.settle(stack, ACCOUNTS, ledger)
        for account in ACCOUNTS:
            saved = tokens(target, account)
            assert saved >= {t for t, owner in ledger.promised.items() if owner == account}
            twice = [token for token, count in held(stack, account).items() if count > 1]
            assert twice == []
        again = stack.restante("mail", "restore", "--all", "--from", str(target), "--json")
        assert '"restored": 0,' in again
        stack.restante("mail", "verify", "--all", "--deep")
    assert ledger.broken == []
    assert first + second >= 5, "nearly all were too quick to be killed"
    print(f"\n{first} backups and {second} restores killed, {len(ledger.promised)} promises kept")


def held(stack: Stack, account: str) -> Counter[str]:
    """Count the messages of an account by token, over IMAP."""
    found: Counter[str] = Counter()
    imap = imaplib.IMAP4("127.0.0.1", stack.ports["imap"], timeout=60)
    imap.login(account, PASSWORD)
    for folder in ("INBOX", "INBOX.Archive"):
        status, answer = imap.select(folder)
        if status == "OK" and int(answer[0] or 0):
            for part in imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (X-TOKEN)])")[1]:
                if isinstance(part, tuple) and b"Token: " in part[1]:
                    found[part[1].split(b": ")[1].split()[0].decode()] += 1
    imap.logout()
    return found
