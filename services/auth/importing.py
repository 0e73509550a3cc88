"""Many accounts at once, as they were elsewhere: homes, owners and hashes stay what they are.

`import_accounts` runs on a database thread inside one transaction. It asks the database a handful
of questions for the whole batch instead of some for each account, so that 100,000 accounts take
minutes and not hours.

A home belongs to one account for ever (directory.py): one that somebody has, or had, is refused.
An absolute home below the mail root is kept as a relative one, so that one directory has one
spelling; others stay absolute.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, insert, select, update

from restante.model import ErrorKind, MailError
from restante.rpc.revocation import Reason
from services.auth import directory
from services.auth.database import journal
from services.auth.database.schema import accounts, domains, removed_homes, revocations
from services.auth.names import Login

MOST: Final = 500  # accounts of one batch

CREATED: Final = "created"
UPDATED: Final = "updated"
UNCHANGED: Final = "unchanged"
EXISTS: Final = "exists"
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account as it is to be. `home` and `maildir` are absolute, or "" for new ones."""

    login: Login
    uid: int
    gid: int
    home: str = ""
    maildir: str = ""
    name: str = ""
    quota: str = ""
    options: str = ""
    password: str = field(default="", repr=False)  # a hash, "" for none
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a candidate; `text` says why it was refused."""

    outcome: str
    text: str = ""


class DryRun(Exception):  # noqa: N818 - carries the answer out of a transaction that is undone
    """What a dry run raises, so that its transaction leaves nothing behind."""

    def __init__(self, results: list[Result]) -> None:
        self.results = results


def import_accounts(
    connection: Connection,
    candidates: Sequence[Candidate],
    mail_root: Path,
    *,
    create_domains: bool = False,
    update_existing: bool = False,
    dry_run: bool = False,
) -> list[Result]:
    """Add, or change, what can be; return what became of each, in order.

    A dry run raises DryRun with them.
    """
    batch = _Batch(connection, mail_root, create_domains, update_existing)
    results = batch.run(candidates)
    if dry_run:
        raise DryRun(results)
    return results


class _Batch:
    def __init__(
        self, connection: Connection, mail_root: Path, create_domains: bool, update_existing: bool
    ) -> None:
        self._connection, self._mail_root = connection, mail_root
        self._create_domains, self._update_existing = create_domains, update_existing
        self._now = int(time.time())
        self._new: list[dict[str, Any]] = []
        self._made: set[str] = set()
        self._revoked: list[tuple[str, Reason]] = []

    def run(self, candidates: Sequence[Candidate]) -> list[Result]:
        known: dict[str, Mapping[str, Any]]
        known = {
            row["address"]: dict(row) for row in self._rows(c.login.address for c in candidates)
        }
        self._domains = self._known_domains({c.login.domain for c in candidates})
        self._homes = self._taken([home for c in candidates if (home := self._known_home(c))])
        results = []
        for candidate in candidates:
            try:
                results.append(self._one(candidate, known))
            except MailError as error:
                results.append(Result(REFUSED, error.text))
        if self._new:
            self._connection.execute(insert(accounts), self._new)
        self._note()
        return results

    def _one(self, candidate: Candidate, known: dict[str, Mapping[str, Any]]) -> Result:
        address = candidate.login.address
        values = directory.check_fields(
            {
                "uid": candidate.uid,
                "gid": candidate.gid,
                "name": candidate.name,
                "quota": candidate.quota,
                "options": candidate.options,
            }
        )
        values["disabled"] = candidate.disabled
        if candidate.home:
            values["home"] = self._home(candidate)
        old = known.get(address)
        if candidate.maildir or old is None:
            values["maildir"] = _maildir(candidate)
        if candidate.password or old is None:
            values["password"] = candidate.password
        if old is not None:
            return self._existing(address, old, values)
        self._need_domain(candidate.login.domain)
        if candidate.home:
            owner = self._homes.get(values["home"])
            if owner is not None:
                text = f"the home {candidate.home} belongs, or belonged, to {owner}"
                raise MailError(ErrorKind.ALREADY_EXISTS, text)
        else:
            values["home"] = directory.free_home(self._connection, candidate.login, self._mail_root)
        self._homes[values["home"]] = address
        row = {
            **values,
            "address": address,
            "domain": candidate.login.domain,
            "created": self._now,
            "updated": self._now,
        }
        self._new.append(row)
        self._made.add(address)
        known[address] = row
        self._revoked.append((address, Reason.CHANGED))
        return Result(CREATED)

    def _existing(self, address: str, old: Mapping[str, Any], values: dict[str, Any]) -> Result:
        changed = {key: value for key, value in values.items() if old[key] != value}
        if not changed:
            return Result(UNCHANGED)
        if address in self._made:
            raise MailError(ErrorKind.ALREADY_EXISTS, "it is there twice, and differs")
        if not self._update_existing:
            return Result(EXISTS)
        if "home" in changed:
            raise MailError(ErrorKind.CANNOT, "its home cannot be changed")
        self._connection.execute(
            update(accounts)
            .where(accounts.c.address == address)
            .values(updated=self._now, **changed)
        )
        self._revoked.append((address, directory.reason_of(changed)))
        return Result(UPDATED)

    def _home(self, candidate: Candidate) -> str:
        """Return the home as it is stored. Raises MailError(BAD_REQUEST)."""
        path = candidate.home
        if not path.startswith("/") or os.path.normpath(path) == "/" or ".." in path.split("/"):
            raise MailError(ErrorKind.BAD_REQUEST, f"the home {path!r} is not an absolute path")
        directory.check_fields({"home": path})
        plain = os.path.normpath(path)
        try:
            return str(Path(plain).relative_to(self._mail_root))
        except ValueError:
            return plain

    def _known_home(self, candidate: Candidate) -> str:
        """Return the home as it is stored, "" where it is none: that is refused later."""
        try:
            return self._home(candidate) if candidate.home else ""
        except MailError:
            return ""

    def _need_domain(self, name: str) -> None:
        if not name:
            raise MailError(ErrorKind.BAD_REQUEST, "an account needs a domain: user@domain")
        if name in self._domains:
            return
        if not self._create_domains:
            raise MailError(ErrorKind.NOT_FOUND, f"no domain {name}")
        directory.create_domain(self._connection, name, "", "")
        self._domains.add(name)

    def _rows(self, addresses: Iterable[str]) -> Iterable[RowMapping]:
        query = select(accounts).where(accounts.c.address.in_(list(addresses)))
        return self._connection.execute(query).mappings()

    def _known_domains(self, names: Iterable[str]) -> set[str]:
        query = select(domains.c.name).where(domains.c.name.in_(list(names)))
        return set(self._connection.execute(query).scalars())

    def _taken(self, homes: list[str]) -> dict[str, str]:
        found = chain.from_iterable(
            self._connection.execute(
                select(table.c.home, table.c.address).where(table.c.home.in_(homes))
            )
            for table in (accounts, removed_homes)
        )
        return {row.home: row.address for row in found}

    def _note(self) -> None:
        """Write all of it to the journal; one lock and one notification for the batch."""
        quiet = [pair for pair in self._revoked if pair[1] is Reason.CHANGED]
        for address, reason in self._revoked:
            if reason is not Reason.CHANGED:
                journal.record(self._connection, address, reason)
        if quiet:
            journal.record(self._connection, *quiet.pop())
        if quiet:
            rows = [
                {"address": address, "reason": int(reason), "created": self._now}
                for address, reason in quiet
            ]
            self._connection.execute(insert(revocations), rows)


def _maildir(candidate: Candidate) -> str:
    """Return the Maildir as it is stored: relative to the home where it is below it."""
    path = candidate.maildir
    if not path:
        return "Maildir"
    if "\0" in path or ".." in path.split("/") or not (path.startswith("/") or candidate.home):
        raise MailError(ErrorKind.BAD_REQUEST, f"bad Maildir {path!r}")
    directory.check_fields({"maildir": path})
    home = os.path.normpath(candidate.home) if candidate.home else ""
    plain = os.path.normpath(path)
    if home and plain.startswith(home + "/"):
        return plain.removeprefix(home + "/")
    return plain
