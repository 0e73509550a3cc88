"""A random walk through the operations of two processes' mailboxes beside a plain model of them."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from restante.model import INBOX, NO_FLAGS, Flag, FolderName
from restante.store import transaction
from restante.store.changes import StoreMode
from restante.store.mailbox import Mailbox
from restante.store.names import unique_name
from restante.store.view import View
from tests.unit.store.support import Volume, contents

FOLDERS: tuple[FolderName, FolderName] = (INBOX, ("Archive",))
_who = st.integers(0, 1)
_folder = st.integers(0, 1)
_picks = st.lists(st.integers(0, 20), min_size=1, max_size=4)
_flags = st.integers(0, 31).map(Flag)
_words = st.lists(st.sampled_from(("red", "Green", "blue")), unique=True, max_size=2)


class Client:
    """A session that knows its folder by its view's Updates alone."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.view: View = mailbox.view()
        self.shown: list[int] = []
        self.seen: dict[int, tuple[int, int]] = {}
        self._take(0)

    def _take(self, known: int) -> None:
        for seq in range(known + 1, self.view.count + 1):
            self.shown.append(self.view.uid_at(seq))
            self._look(self.shown[-1])

    def _look(self, uid: int) -> None:
        row = self.mailbox.find(uid)
        if row >= 0:
            columns = self.mailbox.columns
            self.seen[uid] = (columns.flags[row], columns.keyword_bits[row])

    def poll(self, expunge: bool) -> None:
        updates = self.view.poll(expunge=expunge)
        assert expunge or not updates.expunged
        for seq in updates.expunged:
            del self.seen[self.shown.pop(seq - 1)]
        if updates.exists is not None:
            self._take(len(self.shown))
        for uid in updates.changed:
            self._look(uid)
        assert self.view.count == len(self.shown)


class StoreMachine(RuleBasedStateMachine):
    """The model is a dictionary of each folder, uid -> [flags, keywords]."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.volume = Volume(self.root)
        self.opened = [[self.volume.mailbox(name) for name in FOLDERS] for _ in range(2)]
        self.clients = [[Client(mailbox) for mailbox in mailboxes] for mailboxes in self.opened]
        self.model: list[dict[int, list[Any]]] = [{}, {}]
        self.highest = [0, 0]
        self.limit = transaction._COMPACT_RECORDS

    @initialize(often=st.booleans())
    def compact(self, often: bool) -> None:
        vars(transaction)["_COMPACT_RECORDS"] = 8 if often else self.limit

    def teardown(self) -> None:
        vars(transaction)["_COMPACT_RECORDS"] = self.limit
        shutil.rmtree(self.root)

    def _new(self, folder: int, uid: int, flags: Flag = NO_FLAGS, words: Any = ()) -> None:
        assert uid > self.highest[folder], "a UID is used again, or they do not rise"
        self.highest[folder] = uid
        self.model[folder][uid] = [flags, {w.lower() for w in words}]

    def _chosen(self, folder: int, picks: list[int]) -> list[int]:
        uids = sorted(self.model[folder])
        return sorted({uids[pick % len(uids)] for pick in picks}) if uids else []

    @rule(who=_who, folder=_folder, count=st.integers(1, 3), by_exim=st.booleans())
    def deliver(self, who: int, folder: int, count: int, by_exim: bool) -> None:
        for _ in range(count):
            if by_exim:
                self.volume.drop(unique_name(), name=FOLDERS[folder])
            else:
                self.volume.deliver(name=FOLDERS[folder])
        mailbox = self.opened[who][folder]
        assert mailbox.refresh()
        for uid in mailbox.uids[-count:]:
            self._new(folder, uid)

    @rule(
        who=_who,
        folder=_folder,
        picks=_picks,
        mode=st.sampled_from(StoreMode),
        flags=_flags,
        words=_words,
    )
    def store(
        self,
        who: int,
        folder: int,
        picks: list[int],
        mode: StoreMode,
        flags: Flag,
        words: list[str],
    ) -> None:
        uids = self._chosen(folder, picks)
        result = self.opened[who][folder].store([*uids, 9999], mode, flags, words)
        assert result.gone == [9999]
        given_words = {word.lower() for word in words}
        changed = []
        for uid in uids:
            row = self.model[folder][uid]
            before = list(row)
            if mode is StoreMode.SET:
                row[:] = [flags, given_words]
            elif mode is StoreMode.ADD:
                row[:] = [row[0] | flags, row[1] | given_words]
            else:
                row[:] = [row[0] & ~flags, row[1] - given_words]
            if row != before:
                changed.append(uid)
        assert result.changed == changed

    @rule(who=_who, folder=_folder, picks=st.none() | _picks)
    def expunge(self, who: int, folder: int, picks: list[int] | None) -> None:
        chosen = None if picks is None else self._chosen(folder, picks)
        expected = [
            uid
            for uid, (flags, _) in sorted(self.model[folder].items())
            if flags & Flag.DELETED and (chosen is None or uid in chosen)
        ]
        assert self.opened[who][folder].expunge(chosen) == expected
        for uid in expected:
            del self.model[folder][uid]

    @rule(who=_who, folder=_folder, picks=_picks)
    def remove(self, who: int, folder: int, picks: list[int]) -> None:
        chosen = self._chosen(folder, picks)
        assert self.opened[who][folder].remove(chosen) == chosen
        for uid in chosen:
            del self.model[folder][uid]

    @rule(who=_who, folder=_folder, flags=_flags, words=_words)
    def append(self, who: int, folder: int, flags: Flag, words: list[str]) -> None:
        mailbox = self.opened[who][folder]
        self._new(folder, mailbox.append(self.volume.incoming(), flags, words, 7), flags, words)

    @rule(who=_who, source=_folder, other=_folder, picks=_picks)
    def copy(self, who: int, source: int, other: int, picks: list[int]) -> None:
        chosen = self._chosen(source, picks)
        mailboxes = self.opened[who]
        mailboxes[source].refresh()
        pairs = mailboxes[source].copy(chosen, mailboxes[other])
        assert [old for old, _ in pairs] == chosen
        for old, new in pairs:
            self._new(other, new, *self.model[source][old])

    @rule(who=_who, source=_folder, other=_folder, picks=_picks)
    def move(self, who: int, source: int, other: int, picks: list[int]) -> None:
        chosen = self._chosen(source, picks)
        mailboxes = self.opened[who]
        pairs = mailboxes[source].move(chosen, mailboxes[other])
        assert [old for old, _ in pairs] == chosen
        for old, new in pairs:
            self._new(other, new, *self.model[source].pop(old))

    @rule(folder=_folder, pick=st.integers(0, 20), letter=st.sampled_from("FRST"))
    def mutt(self, folder: int, pick: int, letter: str) -> None:
        cur = self.volume.folder(FOLDERS[folder]) / "cur"
        names = sorted(os.listdir(cur))
        if not names:
            return
        name = names[pick % len(names)]
        base, _, letters = name.partition(":2,")
        os.rename(cur / name, cur / f"{base}:2,{''.join(sorted({*letters} ^ {letter}))}")
        flag = {"F": Flag.FLAGGED, "R": Flag.ANSWERED, "S": Flag.SEEN, "T": Flag.DELETED}[letter]
        mailbox = self.opened[0][folder]
        mailbox.refresh(scan=True)
        uid = next(u for u in mailbox.uids if mailbox.base_name(mailbox.find(u)) == base)
        self.model[folder][uid][0] ^= flag

    @rule(who=_who, folder=_folder, expunge=st.booleans())
    def poll(self, who: int, folder: int, expunge: bool) -> None:
        self.clients[who][folder].poll(expunge)

    @rule(who=_who, folder=_folder)
    def restart(self, who: int, folder: int) -> None:
        self.opened[who][folder] = mailbox = self.volume.mailbox(FOLDERS[folder])
        self.clients[who][folder] = Client(mailbox)

    @invariant()
    def everybody_agrees(self) -> None:
        for who in range(2):
            for folder in range(2):
                mailbox = self.opened[who][folder]
                mailbox.refresh()
                now = {
                    uid: [flags, {word.lower() for word in words}]
                    for uid, (flags, words) in contents(mailbox).items()
                }
                assert now == self.model[folder]
                client = self.clients[who][folder]
                client.poll(False)
                if not client.view.pending():
                    columns = mailbox.columns
                    assert client.shown == list(columns.uids)
                    assert [client.seen[uid] for uid in client.shown] == list(
                        zip(columns.flags, columns.keyword_bits, strict=True)
                    )


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
