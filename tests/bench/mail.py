"""The accounts and mailboxes that every peer gets: same users, same hashes, same messages."""

import base64
import hashlib
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

DOMAIN = "bench.test"
PASSWORD = "benchmark"
LMTP_USERS = 100
SESSION_USERS = 500
SESSION_MESSAGES = 20
_LINKS = 1000  # messages of the large folder that share one file


@dataclass(frozen=True)
class Plan:
    """How much mail there is; smaller for a quick run."""

    fetch: int = 10_000
    large: int = 100_000
    idle: int = 5_000

    def users(self) -> list[str]:
        """Return every local part."""
        return [
            *(f"lmtp{n}" for n in range(LMTP_USERS)),
            *(f"session{n}" for n in range(SESSION_USERS)),
            *(f"idle{n}" for n in range(self.idle)),
            "fetch",
            "large",
        ]


def stored_password() -> str:
    """Return PASSWORD as all three servers understand it."""
    digest = hashlib.sha256(PASSWORD.encode()).digest()
    return "{SHA256}" + base64.b64encode(digest).decode()


def message(number: int, size: int = 4096) -> bytes:
    """Return a message of about `size` bytes with CRLF line ends, the same for the same number."""
    rng = random.Random(number)
    who = rng.randrange(1000)
    head = (
        f"Return-Path: <sender{who}@example.org>\r\n"
        f"Received: from mx{who}.example.org (mx{who}.example.org [192.0.2.{who % 250}])\r\n"
        f"\tby mail.{DOMAIN} with ESMTPS id {rng.getrandbits(64):016x};\r\n"
        f"\tMon, 01 Jan 2024 00:00:{number % 60:02d} +0000\r\n"
        f"From: =?utf-8?q?S=C3=B6nder?= Example {who} <sender{who}@example.org>\r\n"
        f"To: Reader <reader@{DOMAIN}>, other{who}@example.net\r\n"
        f"Subject: Message {number} about {rng.getrandbits(32):x}\r\n"
        f"Date: Mon, 01 Jan 2024 00:{number // 60 % 60:02d}:{number % 60:02d} +0000\r\n"
        f"Message-ID: <{number}.{rng.getrandbits(64):x}@example.org>\r\n"
        "MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/alternative; boundary="=_{rng.getrandbits(64):x}"\r\n'
        "X-Mailer: bench\r\n\r\n"
    )
    mark = "--" + head.rpartition('boundary="')[2].partition('"')[0]
    line = "The quick brown fox jumps over the lazy dog and has done so before.\r\n"
    lines = max(2, (size - len(head) - 300) // (2 * len(line)))
    text = (
        f"{head}{mark}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{line * lines}"
        f"{mark}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: quoted-printable\r\n\r\n{line * lines}{mark}--\r\n"
    )
    return text.encode()


def make_accounts(mail: Path, seed: Path, plan: Plan, owner: tuple[int, int]) -> dict[str, Path]:
    """Make the Maildirs of all users below mail/DOMAIN; return the homes by local part.

    Files are hard links to `seed`, which is filled by the first call.
    """
    homes = {}
    for user in plan.users():
        home = homes[user] = mail / DOMAIN / user
        for name in ("tmp", "new", "cur"):
            (home / "Maildir" / name).mkdir(parents=True, mode=0o700)
    for number in range(SESSION_USERS):
        _fill(homes[f"session{number}"], seed, SESSION_MESSAGES, 1)
    _fill(homes["fetch"], seed, plan.fetch, 1)
    _fill(homes["large"], seed, plan.large, _LINKS)
    if os.geteuid() == 0:
        for folder, _, files in os.walk(mail / DOMAIN):
            os.chown(folder, *owner)
            for name in files:
                os.chown(os.path.join(folder, name), *owner)
    return homes


def mailbox_names(home: Path) -> list[str]:
    """Return the file names in a home's cur directory, oldest first."""
    return sorted(os.listdir(home / "Maildir" / "cur"))


def _fill(home: Path, seed: Path, count: int, share: int) -> None:
    """Put `count` read messages into cur; each file serves `share` of them."""
    seed.mkdir(parents=True, exist_ok=True)
    cur = home / "Maildir" / "cur"
    base = int(time.time()) - 1_000_000
    for number in range(count):
        source = seed / str(number // share)
        if not source.exists():
            source.write_bytes(message(number // share).replace(b"\r\n", b"\n"))
            os.chmod(source, 0o600)
        wire = message(number // share)
        lf = len(wire) - wire.count(b"\r\n")
        name = f"{base + number}.M{number:06d}P1.bench,S={lf},W={len(wire)}:2,S"
        os.link(source, cur / name)
