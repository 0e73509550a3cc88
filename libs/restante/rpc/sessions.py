"""What a worker answers when auth asks who is logged in (`restante who`)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from restante.rpc.auth.v1 import auth_pb2

PART: Final = 200  # sessions in one call; auth takes at most 256 KiB


class _Peer(Protocol):
    @property
    def address(self) -> str: ...
    @property
    def tls(self) -> bool: ...


class _Facts(Protocol):
    @property
    def since(self) -> int: ...
    @property
    def mechanism(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def client(self) -> str: ...


class LiveSession(Protocol):
    """A connection (restante.runtime.connection.Connection), as far as it is told."""

    @property
    def user(self) -> str:
        """The account's address, "" before login."""

    @property
    def peer(self) -> _Peer:
        """Who is at the other end."""

    @property
    def facts(self) -> _Facts:
        """What is known of the session."""

    @property
    def session(self) -> str:
        """Its id in the log."""


Sessions = Callable[[], Iterable[LiveSession]]
"""Returns what a worker holds now."""


async def parts(
    held: Iterable[LiveSession], only: str, *, service: str, host: str
) -> AsyncIterator[list[auth_pb2.Session]]:
    """Yield the sessions that are logged in, PART at a time: at least one part, maybe empty.

    `only` is an address, a "@domain", or "" for all. The loop gets a turn between two parts.
    """
    made: list[auth_pb2.Session] = []
    for number, session in enumerate(tuple(held), 1):
        if _wanted(session.user, only):
            made.append(_message(session, service, host))
        if len(made) == PART:
            yield made
            made = []
        elif number % PART == 0:
            await asyncio.sleep(0)
    yield made


def _wanted(user: str, only: str) -> bool:
    return bool(user) and (user == only or not only or (only[0] == "@" and user.endswith(only)))


def _message(session: LiveSession, service: str, host: str) -> auth_pb2.Session:
    facts, peer = session.facts, session.peer
    return auth_pb2.Session(
        address=session.user,
        service=service,
        peer=peer.address,
        client=facts.client,
        tls=peer.tls,
        mechanism=facts.mechanism,
        since=Timestamp(seconds=facts.since),
        host=host,
        actor=facts.actor,
        session=session.session,
    )
