"""The cache of verdicts alone: what may be used again, and what never."""

import os
from pathlib import Path

import pytest

from restante.model import Account
from restante.rpc.revocation import Reason, Revocation
from restante.rpc.verdicts import Verdicts

ENDING = [Reason.PASSWORD, Reason.DISABLED, Reason.REMOVED, Reason.KICKED]


def account(address: str) -> Account:
    home = Path("/mail") / address
    return Account(address, os.getuid(), os.getgid(), home, home / "Maildir")


FRED, ANN = account("fred@example.test"), account("ann@example.test")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def verdicts() -> Verdicts:
    made = Verdicts(30.0, limit=3)
    made.open()
    return made


def key(verdicts: Verdicts, user: str = "fred", password: str = "secret") -> bytes:
    return verdicts.key(user, password, service="imap", tls=False, mechanism="login")


def keep(verdicts: Verdicts, user: str, found: Account) -> bytes:
    made = key(verdicts, user)
    with verdicts.asking() as flight:
        pass
    verdicts.put(made, found, flight)
    return made


def test_every_part_of_a_question_counts(verdicts: Verdicts) -> None:
    def of(
        user: str = "ab",
        password: str = "c",
        service: str = "imap",
        tls: bool = False,
        mechanism: str = "login",
    ) -> bytes:
        return verdicts.key(user, password, service=service, tls=tls, mechanism=mechanism)

    others = [
        of(user="a", password="bc"),  # the same letters, cut elsewhere
        of(password="d"),
        of(service="pop3"),
        of(tls=True),
        of(mechanism="plain"),
        of(user="AB"),
        of(password="\udce4"),  # not UTF-8
    ]
    assert of() == of()
    assert len({of(), *others}) == len(others) + 1


def test_keys_differ_from_process_to_process() -> None:
    assert key(Verdicts(30.0)) != key(Verdicts(30.0))


def test_a_verdict_is_good_for_its_time(verdicts: Verdicts) -> None:
    clock = Clock()
    timed = Verdicts(30.0, clock=clock)
    timed.open()
    known = keep(timed, "fred", FRED)
    clock.now += 30
    assert timed.get(known) is FRED
    clock.now += 0.1
    assert timed.get(known) is None
    assert len(timed) == 0


def test_zero_seconds_keep_nothing() -> None:
    off = Verdicts(0)
    off.open()
    assert not off.usable
    assert off.get(keep(off, "fred", FRED)) is None
    assert len(off) == 0


def test_the_oldest_goes_first(verdicts: Verdicts) -> None:
    keys = [keep(verdicts, f"fred{n}", FRED) for n in range(4)]
    assert [verdicts.get(k) is not None for k in keys] == [False, True, True, True]
    again = keep(verdicts, "fred1", FRED)  # renewed: fred2 is the oldest now
    keep(verdicts, "ann", ANN)
    assert again == keys[1]
    assert verdicts.get(keys[1]) is FRED
    assert verdicts.get(keys[2]) is None


@pytest.mark.parametrize("reason", Reason)
def test_a_revocation_drops_the_account_only(verdicts: Verdicts, reason: Reason) -> None:
    one, two, other = (
        keep(verdicts, user, found) for user, found in (("fred", FRED), ("f", FRED), ("ann", ANN))
    )
    verdicts.revoke(Revocation(FRED.address, reason))
    assert verdicts.get(one) is None
    assert verdicts.get(two) is None
    assert verdicts.get(other) is ANN
    verdicts.revoke(Revocation("", reason))
    assert verdicts.get(other) is None
    assert len(verdicts) == 0


def test_nothing_is_used_or_kept_while_closed(verdicts: Verdicts) -> None:
    known = keep(verdicts, "fred", FRED)
    verdicts.close()
    assert verdicts.get(known) is None
    assert verdicts.get(keep(verdicts, "ann", ANN)) is None


@pytest.mark.parametrize("address", [FRED.address, ""])
@pytest.mark.parametrize("reason", Reason)
def test_the_race_of_answer_and_revocation(
    verdicts: Verdicts, address: str, reason: Reason
) -> None:
    made = key(verdicts)
    with verdicts.asking() as flight:
        verdicts.revoke(Revocation(address, reason))
    verdicts.put(made, FRED, flight)
    assert verdicts.get(made) is None
    assert flight.ended(FRED.address) == (reason in ENDING)


def test_news_of_others_does_not_disturb(verdicts: Verdicts) -> None:
    made = key(verdicts)
    with verdicts.asking() as flight:
        verdicts.revoke(Revocation(ANN.address, Reason.PASSWORD))
    verdicts.put(made, FRED, flight)
    assert verdicts.get(made) is FRED
    assert not flight.ended(FRED.address)


def test_no_password_is_kept(verdicts: Verdicts) -> None:
    made = verdicts.key("fred", "hunter2!", service="imap", tls=True, mechanism="plain")
    with verdicts.asking() as flight:
        pass
    verdicts.put(made, FRED, flight)
    assert b"hunter2!" not in made
    assert "hunter2!" not in repr(vars(verdicts))
