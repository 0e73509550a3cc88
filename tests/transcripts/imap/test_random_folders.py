"""Random folder commands to our service and to Dovecot in lockstep: same answers, same lists."""

import random

import pytest

from tests.services.imap.wire import Wire
from tests.transcripts.imap.conftest import Connect
from tests.transcripts.imap.values import response

NAMES = [
    "INBOX.r",
    "INBOX.r.a",
    "INBOX.r.a.b",
    "INBOX.r.b",
    "INBOX.s",
    "INBOX.s.a.b",
    "INBOX.&APw-",
]
PATTERNS = ["INBOX.%", "INBOX.r%", "INBOX.r.%", "INBOX.%.%", "INBOX.r*", "INBOX.s.*", "INBOX.&APw-"]
MADE = {"INBOX.Drafts", "INBOX.Sent", "INBOX.Junk", "INBOX.Trash", "INBOX.Archive"}


def listed(wire: Wire, command: str) -> dict[str, frozenset[str]]:
    """Return what LIST or LSUB shows: name -> what both servers must tell of it."""
    out = {}
    for line in wire.ok(command):
        value = response(line)
        assert isinstance(value[2], list)
        told = {str(one).lower() for one in value[2]}
        kept = told & {"\\haschildren", "\\noselect", "\\subscribed"}
        if "(SUBSCRIBED)" in command:
            kept -= {"\\haschildren"}  # not asked for
        if command.startswith("LSUB"):
            kept.clear()
        elif "\\nonexistent" in told:
            kept.add("\\noselect")
        if "\\noselect" in kept and "*" in command:
            continue  # with "*" a parent that is a name only may be shown or not
        if str(value[4]) not in MADE:
            out[str(value[4])] = frozenset(kept)
    return out


def command(rng: random.Random) -> str:
    """Return a random folder command."""
    name, other = rng.choice(NAMES), rng.choice(NAMES)
    return rng.choice(
        [
            f"CREATE {name}",
            f"CREATE {name}",
            f"DELETE {name}",
            f"RENAME {name} {other}",
            f"SUBSCRIBE {name}",
            f"UNSUBSCRIBE {name}",
            f"STATUS {name} (MESSAGES)",
            f"EXAMINE {name}",
        ]
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_folders(seed: int, restante: Connect, oracle: Connect) -> None:
    pair = [connect(f"folders-{seed}") for connect in (restante, oracle)]
    rng = random.Random(seed)
    history: list[str] = []
    for _ in range(120):
        history.append(command(rng))
        if history[-1].startswith("SUBSCRIBE"):
            name = history[-1].split()[1]
            if pair[0].run(f"STATUS {name} (MESSAGES)")[-1][:2] != b"OK":
                continue  # RFC 3501 section 6.3.6 leaves open whether a missing name is refused
        ours, theirs = (wire.run(history[-1])[-1].split() for wire in pair)
        if ours[1] == b"[ALREADYEXISTS]" and history[-1].startswith("RENAME"):
            if theirs[0] != ours[0]:
                break  # children collide: Dovecot moves those that do not, we refuse
        else:
            assert ours[0] == theirs[0], history[:-9:-1]
        for wire in pair:
            wire.run("UNSELECT")
        pattern = rng.choice(PATTERNS)
        for ask in (f'LIST "" {pattern}', f'LSUB "" {pattern}', f'LIST (SUBSCRIBED) "" {pattern}'):
            one, two = (listed(wire, ask) for wire in pair)
            assert one == two, (ask, history[-8:])
    for wire in pair:
        wire.close()
