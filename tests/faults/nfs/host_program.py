"""What each of the two hosts does on the shared NFS volume; run as `-m ... a|b WHAT ROUNDS`.

The hosts meet through files beside the volume: `<host>.<step>`.
"""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from restante.model import INBOX, Account, Flag, MailError
from restante.store.account import AccountStore, MailStore
from restante.store.changes import StoreMode
from restante.store.delivery import Incoming
from restante.store.hints import Hints
from restante.store.lock import locked
from restante.store.mailbox import Mailbox
from restante.store.volume import create_volume

MEETING = Path("/mnt/real")  # a folder of the real machine, without caches
HOSTS = "ab"


def meet(host: str, step: str) -> None:
    """Wait until both hosts are at this step."""
    (MEETING / f"{host}.{step}").write_text("here")
    wanted = {f"{other}.{step}" for other in HOSTS}
    deadline = time.monotonic() + 240
    while not wanted <= (there := set(os.listdir(MEETING))):
        if time.monotonic() > deadline or there & {f"{other}.status" for other in HOSTS}:
            raise SystemExit(f"{host} waited in vain for {wanted - there}")
        time.sleep(0.002)  # hosts have nothing else in common to wait on


def open_account() -> AccountStore:
    """The account that both hosts serve."""
    root = Path.cwd() / "mail"
    account = Account("fred@example.test", os.geteuid(), os.getegid(), root / "f", root / "f" / "M")
    return MailStore(root, hints=Hints()).open_account(account)


def message(token: str) -> bytes:
    """A message that says who it is."""
    return f"From: a@example.test\r\nSubject: {token}\r\n\r\n{token}\r\n".encode()


def deliver(store: AccountStore, token: str) -> None:
    """One delivery, as LMTP makes it."""
    incoming = Incoming(store)
    try:
        incoming.write(message(token))
        incoming.deliver(store, INBOX, last=True)
    finally:
        incoming.abort()


def count(host: str, rounds: int) -> None:
    """Both hosts increment one number inside the locked file; none may be lost."""
    fd = os.open("number", os.O_RDWR | os.O_CREAT, 0o600)
    meet(host, "count")
    for _ in range(rounds):
        with locked(fd, timeout=60):
            number = int(os.pread(fd, 20, 0) or b"0") + 1
            os.pwrite(fd, str(number).encode(), 0)
            os.fsync(fd)
    meet(host, "counted")
    with locked(fd, timeout=60):
        print(json.dumps({"number": int(os.pread(fd, 20, 0))}))


def count_badly(host: str, rounds: int) -> None:
    """The known-bad variant: no lock, but the same reads, writes and syncs."""
    meet(host, "count")
    for _ in range(rounds):
        fd = os.open("number", os.O_RDWR | os.O_CREAT, 0o600)
        number = number_in(fd) + 1
        time.sleep(0.002)  # one processor serves both hosts: let the other have it here
        os.pwrite(fd, str(number).encode(), 0)
        os.fsync(fd)
        os.close(fd)
    meet(host, "counted")
    fd = os.open("number", os.O_RDONLY)
    print(json.dumps({"number": number_in(fd)}))


def number_in(fd: int) -> int:
    """Read a number that two hosts may be writing at once: the digits at its start."""
    digits = os.pread(fd, 20, 0).partition(b"\0")[0]
    return int(digits) if digits.isdigit() else 0


def agree(host: str, rounds: int) -> None:
    """Random work of both hosts on one mailbox; at checkpoints both must see the same."""
    store = open_account()
    if host == "a":
        create_volume(Path("mail"))
        store.ensure()
    meet(host, "made")
    mailbox = store.open_mailbox(INBOX)
    mailbox.refresh()
    dice = random.Random(f"{host} {rounds}")
    delivered: list[str] = []
    removed: list[int] = []
    seen: dict[int, str] = {}
    states = []
    for number in range(rounds):
        for turn in range(10):
            what = dice.random()
            uids = list(mailbox.uids)
            some = dice.sample(uids, min(len(uids), 3))
            if what < 0.35:
                token = f"{host}-{number}-{turn}"
                deliver(store, token)
                delivered.append(token)
            elif what < 0.55:
                mailbox.store(some, StoreMode.ADD, Flag.SEEN, ["kw" + host], unchanged_since=None)
            elif what < 0.7:
                mailbox.store(some, StoreMode.REMOVE, Flag.SEEN, [], unchanged_since=None)
            elif what < 0.75 and len(uids) > 5:
                removed += mailbox.remove(some[:1])
            else:
                mailbox.refresh()
            for uid in some[:1]:
                try:
                    text = mailbox.read(uid)
                except MailError:
                    continue
                token = text.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()
                if seen.setdefault(uid, token) != token:
                    raise SystemExit(f"UID {uid} was {seen[uid]} and is {token}")
        meet(host, f"quiet-{number}")
        mailbox.refresh(scan=True)
        meet(host, f"scanned-{number}")
        mailbox.refresh(scan=True)
        states.append(state(mailbox))
        meet(host, f"noted-{number}")
    print(
        json.dumps(
            {
                "states": states,
                "delivered": delivered,
                "removed": sorted(removed),
                "seen": seen,
                "tokens": {uid: token_at(mailbox, uid) for uid in mailbox.uids},
            }
        )
    )


def token_at(mailbox: Mailbox, uid: int) -> str:
    """The token of a message that is there at the end."""
    text = mailbox.read(uid)
    return text.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()


def state(mailbox: Mailbox) -> dict[str, object]:
    """All that sessions on two hosts must agree on."""
    words = mailbox.keywords
    rows = zip(
        mailbox.uids,
        mailbox.flags,
        mailbox.keyword_bits,
        mailbox.modseqs,
        strict=True,
    )
    return {
        "uidvalidity": mailbox.uidvalidity,
        "uidnext": mailbox.uidnext,
        "rows": [
            [uid, flags, sorted(w for bit, w in enumerate(words) if bits >> bit & 1), modseq]
            for uid, flags, bits, modseq in rows
        ],
    }


def main() -> None:
    """Run one part."""
    host, what, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])

    async def run() -> None:
        {"count": count, "count-badly": count_badly, "agree": agree}[what](host, rounds)

    asyncio.run(run())


if __name__ == "__main__":
    main()
