"""kill -9 of auth under load: every answer is right or temporary, and it recovers by itself.

Clients ask without pause over IMAP, POP3 and LMTP, with right and wrong passwords, for known and
unknown recipients; verdict caches are off, so every login asks auth. Each answer is judged: a
right password or a known recipient may be told "later", never "no"; a wrong or unknown one never
"yes". A variant that takes a lost auth for a refusal must be caught by the same judge.
"""

import imaplib
import os
import poplib
import smtplib
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import System

RIGHT, WRONG = "correct horse battery", "correct horse"
USER = "fred@example.test"
KILLS = 6
SECONDS_UP = 0.4
SECONDS_DOWN = (2.6, 0.4)  # longer than calls wait for a restart, and shorter
HANG = 30.0

REFUSES_WHAT_IT_CANNOT_ASK = """
import sys
if any(word in sys.orig_argv for word in ("imap", "pop3", "delivery")):
    import restante.rpc.client as client
    from restante.model import ErrorKind, MailError

    kinds = {True: ErrorKind.AUTH_FAILED, False: ErrorKind.NO_SUCH_USER}
    login = not any(word == "delivery" for word in sys.orig_argv)
    ours = client._mail_error
    client._mail_error = lambda error: (
        ours(error) if client._is_ours(error) else MailError(kinds[login], "no")
    )
"""


class Judge:
    """Counts answers by what was asked; what must not be is in `broken`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []
        self._lock = threading.Lock()

    def take(self, asked: str, answer: str) -> None:
        """`answer` is yes, no or later; `asked` starts with what may never be answered."""
        never = "no" if asked.startswith("right") else "yes"
        with self._lock:
            self.counts[f"{asked}: {answer}"] += 1
            if answer == never:
                self.broken.append(f"{asked}: {answer}")


def ask_imap(system: System, password: str) -> str:
    client = imaplib.IMAP4(*system.address("imap"), timeout=HANG)
    try:
        client.login(USER, password)
    except imaplib.IMAP4.abort:
        return "later"  # the connection broke
    except imaplib.IMAP4.error as error:
        return "later" if "[UNAVAILABLE]" in str(error) else "no"
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            client.shutdown()
    return "yes"


def ask_pop3(system: System, password: str) -> str:
    client = poplib.POP3(*system.address("pop3"), timeout=HANG)
    try:
        client.user(USER)
        client.pass_(password)
    except poplib.error_proto as error:
        return "later" if "[SYS/TEMP]" in str(error) else "no"
    finally:
        client.close()
    return "yes"


def ask_lmtp(system: System, recipient: str) -> str:
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen"), timeout=HANG) as client:
        client.ehlo()
        client.mail("bob@x.test")
        code, _ = client.rcpt(recipient)
    return {2: "yes", 4: "later", 5: "no"}[code // 100]


QUESTIONS: dict[str, Callable[[System], str]] = {
    "right password by imap": lambda system: ask_imap(system, RIGHT),
    "wrong password by imap": lambda system: ask_imap(system, WRONG),
    "right password by pop3": lambda system: ask_pop3(system, RIGHT),
    "wrong password by pop3": lambda system: ask_pop3(system, WRONG),
    "right recipient": lambda system: ask_lmtp(system, USER),
    "wrong recipient": lambda system: ask_lmtp(system, "nobody@example.test"),
}


def load_and_kill(base: Path, kills: int, **env: str) -> Judge:
    """Ask all questions without pause while auth is killed, stays away, and comes back."""
    env |= {
        "RESTANTE_VERDICT_SECONDS": "0",
        "RESTANTE_DELIVERY_LOOKUP_CACHE": "0",
        "RESTANTE_AUTH_THROTTLE_BASE_SECONDS": "0",
    }
    judge, over = Judge(), threading.Event()
    with System(base, ("imap", "pop3", "delivery"), env) as system:
        system.add_account(USER, RIGHT)

        def keep_asking(asked: str) -> None:
            while not over.is_set():
                with suppress(OSError, EOFError, smtplib.SMTPException):
                    judge.take(asked, QUESTIONS[asked](system))

        threads = [threading.Thread(target=keep_asking, args=(asked,)) for asked in QUESTIONS]
        for thread in threads:
            thread.start()
        try:
            for number in range(kills):
                over.wait(SECONDS_UP)
                system["auth"].kill()
                over.wait(SECONDS_DOWN[number % 2])
                system["auth"].start()
        finally:
            over.set()
            for thread in threads:
                thread.join(HANG)
        assert not any(thread.is_alive() for thread in threads), "a question never ended"
        # By itself: no other service is touched, and everybody is answered as before.
        for asked, ask in QUESTIONS.items():
            wanted = "yes" if asked.startswith("right") else "no"
            for _ in range(50):
                answer = ask(system)
                judge.take(asked, answer)
                if answer == wanted:
                    break
            else:
                judge.broken.append(f"{asked}: never {wanted} again")
    return judge


@pytest.mark.slow
def test_a_killed_auth_is_a_temporary_failure(tmp_path: Path) -> None:
    judge = load_and_kill(tmp_path, KILLS)
    print("\n" + "\n".join(f"{n:6d}  {what}" for what, n in sorted(judge.counts.items())))
    assert judge.broken == []
    assert any(what.endswith("later") for what in judge.counts), "auth was never missed"
    for asked in QUESTIONS:
        assert judge.counts[f"{asked}: {'yes' if asked.startswith('right') else 'no'}"]


@pytest.mark.slow
def test_a_refusal_without_auth_is_caught(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "sitecustomize.py").write_text(REFUSES_WHAT_IT_CANNOT_ASK)
    path = os.pathsep.join(filter(None, (str(bad), os.environ.get("PYTHONPATH", ""))))
    assert load_and_kill(tmp_path, 3, PYTHONPATH=path).broken
