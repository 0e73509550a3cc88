"""Load and kill -9: clients that note promises while every process in turn is killed.

The system is `restante all` in a folder of its own. Victims are drawn at random: mostly workers of
the five services, now and then a service's parent process, never the supervisor itself. The
clients take any refusal or broken connection in their stride; what they were promised, they note
in a Ledger.
"""

import imaplib
import os
import poplib
import random
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.ledger import Ledger, make_message, token_of
from tests.support.reading import NotSelectedError, read_tokens

PASSWORD = "correct horse battery"
SERVICES = ("auth", "delivery", "pop3", "imap", "webmail")
REFUSED = (OSError, EOFError, smtplib.SMTPException, imaplib.IMAP4.error, poplib.error_proto)
_LISTENERS = {
    "POP3_LISTEN": "pop3",
    "IMAP_LISTEN": "imap",
    "DELIVERY_LMTP_LISTEN": "lmtp",
    "DELIVERY_HTTP_LISTEN": "http",
    "WEBMAIL_LISTEN": "webmail",
    "POP3_TLS_LISTEN": "pop3s",
    "IMAP_TLS_LISTEN": "imaps",
    "AUTH_HEALTH_LISTEN": "auth-health",
    "DELIVERY_HEALTH_LISTEN": "delivery-health",
    "POP3_HEALTH_LISTEN": "pop3-health",
    "IMAP_HEALTH_LISTEN": "imap-health",
    "WEBMAIL_HEALTH_LISTEN": "webmail-health",
}


@dataclass
class Stack:
    """A running `restante all` and its ports."""

    data: Path
    ports: dict[str, int]
    process: "subprocess.Popen[str]"
    environment: dict[str, str]
    log: list[str] = field(default_factory=list)

    def restante(self, *words: str, typed: str = "") -> str:
        """Run the command line against it."""
        done = subprocess.run(
            [sys.executable, "-m", "services", *words],
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def free_ports(count: int) -> list[int]:
    """Return ports that were free together a moment ago."""
    socks = [socket.socket() for _ in range(count)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [int(sock.getsockname()[1]) for sock in socks]
    for sock in socks:
        sock.close()
    return ports


@contextmanager
def running(data: Path, *, wrapper: str = "", workers: int = 2) -> Iterator[Stack]:
    """Start the system, wait until it is ready, stop it at the end.

    `wrapper` is a file for sitecustomize: a known-bad variant patches itself in there.
    """
    ports = dict(zip(_LISTENERS.values(), free_ports(len(_LISTENERS)), strict=True))
    environment = {
        **os.environ,
        "RESTANTE_DATA": str(data),
        "RESTANTE_WORKERS": str(workers),
        "RESTANTE_DEMO_PASSWORD": PASSWORD,
        "RESTANTE_LOG_LEVEL": "warning",
        **{f"RESTANTE_{name}": f"127.0.0.1:{ports[key]}" for name, key in _LISTENERS.items()},
    }
    if wrapper:
        (data.parent / "bad").mkdir()
        (data.parent / "bad" / "sitecustomize.py").write_text(wrapper)
        environment["PYTHONPATH"] = str(data.parent / "bad")
    process = subprocess.Popen(
        [sys.executable, "-m", "services", "all"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    stack = Stack(data, ports, process, environment)
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            stack.log.append(line)
            if "demo@example.test" in line:
                ready.set()
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert ready.wait(60), "".join(stack.log)
        assert process.poll() is None, "".join(stack.log)
        yield stack
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join()


# --- victims --------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """Return the living children of a process."""
    with suppress(OSError):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def victim(stack: Stack, dice: random.Random) -> int | None:
    """Return a worker, or one time in twenty the parent of a service; None where none lives."""
    parents = children(stack.process.pid)
    if not parents:
        return None
    if dice.random() < 0.05:
        return dice.choice(parents)
    workers = [pid for parent in parents for pid in children(parent)]
    return dice.choice(workers) if workers else None


def kill_at_random(
    stack: Stack, kills: int, ledger: Ledger, dice: random.Random, enough: Callable[[], bool]
) -> None:
    """Kill so many processes, each at a random moment after some work got done since the last.

    Without the wait for work, the system would be dead most of the time, and the kills prove less.
    """
    done = 0
    while done < kills and not enough():
        stack.process.poll()
        assert stack.process.returncode is None, "the supervisor ended"
        ledger.wait_for_work(dice.randint(1, 12), seconds=15)
        threading.Event().wait(dice.uniform(0.0, 0.03))
        pid = victim(stack, dice)
        if pid is None:
            continue
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            ledger.count("kill -9")
            done += 1


# --- clients --------------------------------------------------------------------------------


@dataclass
class Clients:
    """Threads that deliver, append, read and flag until they are told to stop."""

    stack: Stack
    accounts: list[str]
    ledger: Ledger
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def start(self) -> None:
        """Start them all."""
        jobs = [self.deliver, self.deliver, self.append, self.read_imap, self.read_pop3]
        for job in jobs:
            thread = threading.Thread(target=self._repeat, args=(job,))
            thread.start()
            self.threads.append(thread)

    def finish(self) -> None:
        """Stop them and raise what none of them may raise."""
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"
        for fault in self.faults:
            raise fault

    def _repeat(self, job: Callable[[random.Random], None]) -> None:
        dice = random.Random(threading.get_ident())
        while not self.stop.is_set():
            try:
                job(dice)
            except REFUSED:
                self.ledger.count("refused or cut")
                self.stop.wait(0.02)
            except BaseException as fault:  # a broken client breaks the test
                self.faults.append(fault)
                return

    def deliver(self, dice: random.Random) -> None:
        """Some messages over one LMTP connection; a permanent refusal is a broken promise."""
        with smtplib.LMTP("127.0.0.1", self.stack.ports["lmtp"], timeout=20) as lmtp:
            for _ in range(10):
                account, token = dice.choice(self.accounts), uuid.uuid4().hex
                message = make_message(token, dice.choice((300, 4000, 4000, 200_000)))
                try:
                    refused = lmtp.sendmail("sender@example.test", [account], message)
                except (
                    smtplib.SMTPRecipientsRefused,
                    smtplib.SMTPDataError,
                    smtplib.SMTPSenderRefused,
                ) as error:
                    self._not_permanent(error)
                    raise
                if not refused:
                    self.ledger.promise(token, account)
                    self.ledger.count("delivered by LMTP")

    def _not_permanent(self, error: smtplib.SMTPException) -> None:
        codes = [getattr(error, "smtp_code", 0)]
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            codes = [code for code, _ in error.recipients.values()]
        if any(500 <= code < 600 for code in codes):
            self.ledger.broken.append(f"bounced by a passing fault: {error!r}")

    def _imap(self, account: str) -> imaplib.IMAP4:
        imap = imaplib.IMAP4("127.0.0.1", self.stack.ports["imap"], timeout=20)
        try:
            imap.login(account, PASSWORD)
        except imaplib.IMAP4.error as error:
            if "AUTHENTICATIONFAILED" in str(error):
                self.ledger.broken.append(f"a fault looked like a wrong password: {error}")
            raise
        return imap

    def append(self, dice: random.Random) -> None:
        """APPEND to Archive with keywords of its own."""
        account = dice.choice(self.accounts)
        imap = self._imap(account)
        try:
            for _ in range(5):
                token = uuid.uuid4().hex
                status, _ = imap.append(
                    "INBOX.Archive", "(\\Seen $Kept)", "", make_message(token, 2000)
                )
                if status == "OK":
                    self.ledger.promise(token, account)
                    self.ledger.count("appended by IMAP")
        finally:
            with suppress(*REFUSED):
                imap.shutdown()

    def read_imap(self, dice: random.Random) -> None:
        """See messages under their UIDs, flag some."""
        account = dice.choice(self.accounts)
        imap = self._imap(account)
        try:
            for folder in ("INBOX", "INBOX.Archive"):
                for uid, message in read_folder(imap, account, folder, self.ledger, last=30):
                    if token_of(message) and dice.random() < 0.2:
                        imap.uid("STORE", str(uid), "+FLAGS", "(\\Flagged)")
            self.ledger.count("IMAP sessions")
        finally:
            with suppress(*REFUSED):
                imap.shutdown()

    def read_pop3(self, dice: random.Random) -> None:
        """Retrieve the last messages; each must be whole."""
        pop3 = poplib.POP3("127.0.0.1", self.stack.ports["pop3"], timeout=20)
        try:
            pop3.user(dice.choice(self.accounts))
            try:
                pop3.pass_(PASSWORD)
            except poplib.error_proto as error:
                if "[AUTH]" in str(error):
                    self.ledger.broken.append(f"a fault looked like a wrong password: {error}")
                raise
            count, _ = pop3.stat()
            for number in range(max(1, count - 10), count + 1):
                lines = pop3.retr(number)[1]
                message = b"".join(line + b"\r\n" for line in lines)
                if b"X-Token" in message and token_of(message) is None:
                    self.ledger.broken.append(f"torn by POP3: {message[:200]!r}")
            pop3.quit()
            self.ledger.count("POP3 sessions")
        finally:
            with suppress(*REFUSED):
                pop3.close()


def read_folder(
    imap: imaplib.IMAP4, account: str, folder: str, ledger: Ledger, *, last: int | None = None
) -> list[tuple[int, bytes]]:
    """As read_tokens; a folder that cannot be selected has nothing."""
    try:
        return read_tokens(imap, account, folder, ledger, last=last)
    except NotSelectedError:
        return []


def settle(stack: Stack, accounts: list[str], ledger: Ledger) -> None:
    """Read everything at the end, without any more kills, and compare with what was promised."""
    kept: dict[str, list[bytes]] = {}
    deadline = time.monotonic() + 60
    for account in accounts:
        while True:
            try:
                imap = imaplib.IMAP4("127.0.0.1", stack.ports["imap"], timeout=60)
                imap.login(account, PASSWORD)
                kept[account] = [
                    message
                    for folder in ("INBOX", "INBOX.Archive")
                    for _, message in read_folder(imap, account, folder, ledger)
                ]
                imap.logout()
                break
            except REFUSED:
                if time.monotonic() > deadline:
                    raise
                threading.Event().wait(0.1)
    ledger.settle(kept)
