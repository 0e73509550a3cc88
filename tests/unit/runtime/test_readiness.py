"""Readiness: what a worker needs, and how patient it is."""

import asyncio

import pytest

from restante.model import ErrorKind, MailError
from restante.runtime import readiness
from restante.runtime.readiness import Readiness


class Thing:
    """A need that a test switches on and off."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.hangs = False

    async def __call__(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def told() -> list[tuple[bool, str]]:
    return []


def _watch(told: list[tuple[bool, str]], **needs: Thing) -> Readiness:
    return Readiness(needs, lambda ready, reason: told.append((ready, reason)))


AWAY = MailError(ErrorKind.TEMPORARY, "cannot be reached")


async def test_nothing_needed_is_ready(told: list[tuple[bool, str]]) -> None:
    await _watch(told).look()
    assert told == [(True, "")]


async def test_not_ready_before_everything_is_there(told: list[tuple[bool, str]]) -> None:
    auth, volume = Thing(), Thing()
    auth.fault, volume.fault = AWAY, OSError(5, "Input/output error")
    watch = _watch(told, auth=auth, volume=volume)
    await watch.look()
    await watch.look()  # the same again is not told again
    volume.fault = None
    await watch.look()
    auth.fault = None
    await watch.look()
    both = "auth: cannot be reached; volume: Input/output error"
    assert told == [(False, both), (False, "auth: cannot be reached"), (True, "")]


async def test_a_short_absence_is_not_told(
    told: list[tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = Thing()
    watch = _watch(told, auth=auth)
    await watch.look()
    auth.fault = AWAY
    await watch.look()
    auth.fault = None
    await watch.look()
    assert told == [(True, "")]
    monkeypatch.setattr(readiness, "GRACE", 0.0)
    auth.fault = AWAY
    await watch.look()
    auth.fault = None
    await watch.look()
    assert told[1:] == [(False, "auth: cannot be reached"), (True, "")]


async def test_what_hangs_is_away(
    told: list[tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "PATIENCE", 0.01)
    volume = Thing()
    volume.hangs = True
    await _watch(told, volume=volume).look()
    assert told == [(False, "volume does not answer")]
