"""Workers that use one account at once, and what must be true of what they saw.

A worker is a forked process with a few threads, each a session with its own view. It does random
operations and writes down what it was told: messages that it added (base names), UIDs that it
removed, and which UID it saw for which base name. Beside the operations of the store there are
those of other programs that share nothing with us but the directories: exim's drops into new/,
mutt's renames and removals in cur/.

`Ledger` collects the notes of all workers. At a checkpoint nobody works, everybody refreshes, and
`check` compares: what each worker's memory holds, what a new process reads, what lies on disk,
what follows from the notes, and what each view's client knows from its Updates alone.
"""

import ast
import os
import random
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from restante.model import INBOX, ErrorKind, Flag, FolderName, MailError
from restante.store.account import AccountStore
from restante.store.changes import StoreMode
from restante.store.mailbox import Mailbox
from restante.store.names import unique_name
from restante.store.view import View
from tests.unit.store.support import Volume, contents

FOLDERS: tuple[FolderName, ...] = (INBOX, ("Archive",))
KEYWORDS = ("red", "green", "blue", "work")
_FLAGS = (Flag.SEEN, Flag.FLAGGED, Flag.ANSWERED, Flag.DRAFT)

_WEIGHTS = {
    "deliver": 6,
    "drop": 3,
    "mutt": 6,
    "store": 12,
    "expunge": 4,
    "copy": 2,
    "move": 4,
    "append": 2,
    "refresh": 8,
    "read": 4,
    "poll": 6,
}

State = dict[int, tuple[str, Flag, frozenset[str]]]  # uid -> base, flags, keywords


@dataclass
class Notes:
    """What one worker was told, by folder. A message is its base name or "<uidvalidity>:<uid>".

    With `log`, a file that survives the worker, each note is also written there.
    """

    added: set[tuple[FolderName, str]] = field(default_factory=set)
    removed: set[tuple[FolderName, str]] = field(default_factory=set)
    removing: set[tuple[FolderName, str]] = field(default_factory=set)  # begun, perhaps not done
    moving: set[tuple[FolderName, str]] = field(default_factory=set)
    uids: dict[tuple[FolderName, int, int], str] = field(default_factory=dict)
    states: dict[FolderName, tuple[int, State]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    log: int = -1

    def note(self, kind: str, folder: FolderName, what: str) -> None:
        """Note that a message was added, removed, is being removed or moved."""
        getattr(self, kind).add((folder, what))
        if self.log >= 0:
            os.write(self.log, repr((kind, folder, what)).encode() + b"\n")

    def see(self, folder: FolderName, uidvalidity: int, uid: int, base: str) -> None:
        """Note which message has a UID."""
        known = self.uids.get((folder, uidvalidity, uid))
        if known is None:
            self.uids[folder, uidvalidity, uid] = base
            if self.log >= 0:
                line = repr(("uid", folder, (uidvalidity, uid, base)))
                os.write(self.log, line.encode() + b"\n")
        elif known != base:
            self.problems.append(f"UID {uid} was {known}, is {base}")

    @classmethod
    def read(cls, log: Path) -> "Notes":
        """Read what a worker wrote until it was killed."""
        notes = cls()
        if not log.exists():  # killed before it began
            return notes
        for line in log.read_bytes().split(b"\n")[:-1]:
            kind, folder, what = ast.literal_eval(line.decode())
            if kind == "uid":
                notes.see(folder, *what)
            else:
                notes.note(kind, folder, what)
        return notes


class Session:
    """A view and what its client knows of the folder by the view's Updates."""

    def __init__(self, mailbox: Mailbox, notes: Notes) -> None:
        self.mailbox = mailbox
        self.notes = notes
        self.view: View = mailbox.view()
        self.shown: list[int] = []
        self.flags: dict[int, tuple[int, int]] = {}
        self._show(0)

    def poll(self, *, expunge: bool) -> None:
        """Follow the folder as an IMAP client would."""
        updates = self.view.poll(expunge=expunge)
        gone = []
        for seq in updates.expunged:
            uid = self.shown.pop(seq - 1)
            gone.append(uid)
            self.flags.pop(uid, None)
        if sorted(gone) != updates.vanished:
            self.notes.problems.append(f"EXPUNGE of {gone}, VANISHED {updates.vanished}")
        if not expunge and (gone or (updates.exists is not None and self._withheld())):
            self.notes.problems.append("an expunge was not withheld")
        if updates.exists is not None:
            if updates.exists < len(self.shown):
                self.notes.problems.append("EXISTS went down")
            self._show(len(self.shown))
        for uid in updates.changed:
            self._look(uid)
        if self.view.count != len(self.shown) or list(self.view.uids()) != self.shown:
            self.notes.problems.append(f"view {list(self.view.uids())}, client {self.shown}")

    def _withheld(self) -> bool:
        return any(self.mailbox.find(uid) < 0 for uid in self.shown)

    def _show(self, known: int) -> None:
        for seq in range(known + 1, self.view.count + 1):
            uid = self.view.uid_at(seq)
            if self.shown and uid <= self.shown[-1]:
                self.notes.problems.append(f"UID {uid} after {self.shown[-1]}")
            self.shown.append(uid)
            self._look(uid)

    def _look(self, uid: int) -> None:
        columns = self.mailbox.columns
        row = columns.find(uid)
        if row >= 0:
            self.flags[uid] = (columns.flags[row], columns.keyword_bits[row])

    def check(self) -> None:
        """At a checkpoint: what the client knows is what there is."""
        self.poll(expunge=False)
        self.poll(expunge=True)
        columns = self.mailbox.columns
        if self.shown != list(columns.uids):
            self.notes.problems.append(f"client {self.shown}, mailbox {list(columns.uids)}")
        told = [self.flags[uid] for uid in self.shown if uid in self.flags]
        real = list(zip(columns.flags, columns.keyword_bits, strict=True))
        if told != real:
            self.notes.problems.append(f"flags told {told}, real {real}")
        if self.view.pending():
            self.notes.problems.append("pending after poll")


class Worker:
    """Random operations on one account, in this process."""

    def __init__(self, root: Path, seed: int, threads: int, log: int = -1) -> None:
        self.volume = Volume(root)
        self.account: AccountStore = self.volume.account()
        self.notes = Notes(log=log)
        self.mailboxes = {name: self.account.open_mailbox(name) for name in FOLDERS}
        self.sessions = [
            [Session(mailbox, self.notes) for mailbox in self.mailboxes.values()]
            for _ in range(threads)
        ]
        self.seed = seed
        self.round = 0

    def work(self, operations: int) -> None:
        """Let every thread do that many operations, then note what is in memory."""
        self.round += 1
        threads = [
            threading.Thread(target=self._thread, args=(number, operations))
            for number in range(len(self.sessions))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def settle(self) -> None:
        """Follow the others, now that nobody works, by what the directories' times tell."""
        for mailbox in self.mailboxes.values():
            wait_until_due(mailbox)
            mailbox.refresh()

    def report(self) -> Notes:
        """Check the views and return the notes, with the state of every folder."""
        for sessions in self.sessions:
            for session in sessions:
                session.check()
        for name, mailbox in self.mailboxes.items():
            mailbox.refresh()
            self.see(mailbox)
            self.notes.states[name] = mailbox.uidvalidity, state_of(mailbox)
        return self.notes

    def see(self, mailbox: Mailbox) -> None:
        """Note which UID is which message."""
        columns = mailbox.columns
        uidvalidity = mailbox.uidvalidity
        for row, uid in enumerate(list(columns.uids)):
            self.notes.see(mailbox.name, uidvalidity, uid, os.fsdecode(columns.base(row)))

    def _thread(self, number: int, operations: int) -> None:
        choice = random.Random(f"{self.seed}/{number}/{self.round}")
        try:
            for _ in range(operations):
                self.operation(choice, self.sessions[number])
        except Exception as error:
            self.notes.problems.append("".join(traceback.format_exception(error)))

    def operation(self, choice: random.Random, sessions: list[Session]) -> None:
        """Do one random thing."""
        session = choice.choice(sessions)
        mailbox = session.mailbox
        other = next(m for m in self.mailboxes.values() if m is not mailbox)
        uids = choice.sample(session.shown, min(len(session.shown), choice.randint(1, 4)))
        kind = choice.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
        if kind == "deliver":
            base = self.volume.incoming(text_of(choice)).deliver(
                self.account, mailbox.name, last=True
            )
            self.notes.note("added", mailbox.name, base.base)
        elif kind == "drop":
            name = unique_name().replace("R", "X")
            self.volume.drop(name, text_of(choice), name=mailbox.name)
            self.notes.note("added", mailbox.name, name)
        elif kind == "mutt":
            self.mutt(choice, mailbox.name)
        elif kind == "store":
            mode = choice.choice(list(StoreMode))
            flags = choice.choice(_FLAGS) | choice.choice((Flag(0), Flag.DELETED))
            mailbox.store(uids, mode, flags, choice.sample(KEYWORDS, choice.randint(0, 2)))
        elif kind == "expunge":
            some = uids if self.notes.log >= 0 else choice.choice((uids, None))
            self.remove(mailbox, some, choice.random() < 0.3)
        elif kind == "copy":
            pairs = mailbox.copy(uids, other)
            self.tell("added", other, [new for _, new in pairs])
        elif kind == "move":
            self.see(mailbox)
            self.tell("moving", mailbox, uids)
            pairs = mailbox.move(uids, other)
            self.tell("added", other, [new for _, new in pairs])
            self.tell("removed", mailbox, [old for old, _ in pairs])
        elif kind == "append":
            incoming = self.volume.incoming(text_of(choice))
            uid = mailbox.append(incoming, choice.choice(_FLAGS), choice.sample(KEYWORDS, 1), 1000)
            self.tell("added", mailbox, [uid])
        elif kind == "refresh":
            mailbox.refresh(scan=choice.random() < 0.1)
        elif kind == "read":
            for uid in uids:
                try:
                    mailbox.read(uid)
                except MailError as error:
                    if error.kind is not ErrorKind.GONE:
                        raise
        self.see(mailbox)
        session.poll(expunge=choice.random() < 0.5)

    def remove(self, mailbox: Mailbox, uids: list[int] | None, whatever_flags: bool) -> None:
        """Expunge, or remove as POP3 does."""
        self.see(mailbox)
        self.tell("removing", mailbox, uids or [])
        if whatever_flags and uids:
            self.tell("removed", mailbox, mailbox.remove(uids[:1]))
        else:
            self.tell("removed", mailbox, mailbox.expunge(uids))

    def tell(self, kind: str, mailbox: Mailbox, uids: list[int]) -> None:
        """Note messages by UID."""
        for uid in uids:
            self.notes.note(kind, mailbox.name, f"{mailbox.uidvalidity}:{uid}")

    def mutt(self, choice: random.Random, name: FolderName) -> None:
        """Change flags, move new mail or remove a message, without a lock or a look at us."""
        folder = self.volume.folder(name)
        where = choice.choice(("new", "cur", "cur"))
        names = os.listdir(folder / where)
        if not names:
            return
        chosen = choice.choice(names)
        base, _, letters = chosen.partition(":2,")
        if where == "cur" and choice.random() < 0.1:
            self.notes.note("removing", name, base)
            with suppress(FileNotFoundError):
                os.unlink(folder / where / chosen)
                self.notes.note("removed", name, base)
            return
        letters = "".join(sorted(set(letters) ^ {choice.choice("FRST")}))
        with suppress(FileNotFoundError):
            os.rename(folder / where / chosen, folder / "cur" / f"{base}:2,{letters}")


def wait_until_due(mailbox: Mailbox) -> None:
    """Wait until an unsettled cur/ is due to be listed (scan.py)."""
    time.sleep(len(mailbox) * 0.0006 + 0.01)


def text_of(choice: random.Random) -> bytes:
    """Return a message of random size whose last line tells its length."""
    body = b"x" * choice.randint(0, 3000)
    return b"Subject: t\r\n\r\n%s\r\nend %d\r\n" % (body, len(body))


def is_whole(text: bytes) -> bool:
    """Tell whether a message is one of `text_of`, to the last byte."""
    head, _, rest = text.partition(b"\r\n\r\n")
    body, mark, tail = rest.partition(b"\r\nend ")
    return head == b"Subject: t" and bool(mark) and tail == b"%d\r\n" % len(body)


def state_of(mailbox: Mailbox) -> State:
    """Return everything about every message."""
    known = contents(mailbox)
    return {
        uid: (mailbox.base_name(row), known[uid][0], frozenset(known[uid][1]))
        for row, uid in enumerate(mailbox.uids)
    }


def check(volume: Volume, notes: list[Notes], *, killed: bool = False) -> list[str]:
    """Compare all notes with each other and with the disk; returns what is wrong.

    `killed`: the last operation of each worker may have been done or not.
    """
    problems = [problem for note in notes for problem in note.problems]
    uids: dict[tuple[FolderName, int, int], str] = {}
    for note in notes:
        for key, base in note.uids.items():
            if uids.setdefault(key, base) != base:
                problems.append(f"UID {key} is {uids[key]} and {base}")
    for name in FOLDERS:
        fresh = volume.mailbox(name)
        if killed:
            wait_until_due(fresh)
            fresh.refresh()
        for row, uid in enumerate(fresh.uids):
            key = (name, fresh.uidvalidity, uid)
            if uids.setdefault(key, fresh.base_name(row)) != fresh.base_name(row):
                problems.append(f"UID {key} was {uids[key]} and is {fresh.base_name(row)}")
        problems += _check_folder(volume, name, fresh, notes, uids, killed)
    return problems


def _check_folder(
    volume: Volume,
    name: FolderName,
    fresh: Mailbox,
    notes: list[Notes],
    uids: dict[tuple[FolderName, int, int], str],
    killed: bool,
) -> list[str]:
    problems = []
    if any(key[0] == name and key[1] != fresh.uidvalidity for key in uids):
        problems.append(f"folder {name} has another UIDVALIDITY")
    state = state_of(fresh)
    for number, note in enumerate(notes):
        if name in note.states and note.states[name] != (fresh.uidvalidity, state):
            problems.append(
                f"folder {name}: worker {number} has {note.states[name]}, "
                f"a new process {(fresh.uidvalidity, state)}"
            )
    on_disk = {n.partition(":2,")[0]: n for n in volume.names("cur", name)}
    if volume.names("new", name):
        problems.append("messages are left in new/")
    if {base for base, _, _ in state.values()} != on_disk.keys():
        problems.append(f"folder {name}: index {sorted(state.values())}, disk {sorted(on_disk)}")
    for base, flags, _ in state.values():
        letters = on_disk.get(base, "").partition(":2,")[2]
        if letters != "".join(sorted(c for f, c in _LETTERS.items() if flags & f)):
            problems.append(f"{base} has {flags!r}, its name {letters!r}")
    for row, uid in enumerate(fresh.uids):
        text = fresh.read(uid)
        if not is_whole(text) or len(text) != fresh.wire_sizes[row]:
            problems.append(f"UID {uid} is torn")

    prefix = f"{fresh.uidvalidity}:"
    seen = {key[2]: base for key, base in uids.items() if key[:2] == (name, fresh.uidvalidity)}
    added, removed, removing, moving = (
        {what for note in notes for folder, what in getattr(note, kind) if folder == name}
        for kind in ("added", "removed", "removing", "moving")
    )
    elsewhere = {base for key, base in uids.items() if key[0] != name}
    if killed:  # what was not noted in time is on disk
        elsewhere |= {
            n.partition(":2,")[0] for f in FOLDERS if f != name for n in volume.names("cur", f)
        }
    known = set(seen.values())
    for uid, base in seen.items():
        told = f"{prefix}{uid}"
        gone = told in removed or base in removed
        if gone and uid in state:
            problems.append(f"folder {name}: UID {uid} {base} came back")
        if gone or uid in state:
            continue
        perhaps = told in removing or base in removing
        perhaps = perhaps or (told in moving and base in elsewhere)
        if not (killed and perhaps):
            problems.append(f"folder {name}: UID {uid} {base} is lost")
    for what in added - removed:
        if what.startswith(prefix) or what in known or (killed and what in removing):
            continue
        problems.append(f"folder {name}: {what} was delivered and never seen")
    for uid, (base, _, _) in state.items():
        if base not in added and f"{prefix}{uid}" not in added and not killed:
            problems.append(f"folder {name}: UID {uid} {base} comes from nowhere")
    return problems


_LETTERS = {
    Flag.SEEN: "S",
    Flag.FLAGGED: "F",
    Flag.ANSWERED: "R",
    Flag.DRAFT: "D",
    Flag.DELETED: "T",
    Flag.FORWARDED: "P",
}
