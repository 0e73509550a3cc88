"""`restante account apply` and `export`: domains and accounts as a file says they should be.

First a plan is made and shown; it is carried out only after that, domains before accounts. Every
step can be repeated: what was done when something failed is "unchanged" the next time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from restante.cli import accounts_file, output
from restante.cli.accounts_file import AccountsFile, Entry
from restante.cli.admin import admin
from restante.cli.output import DryRunFlag, JsonFlag, YesFlag
from restante.model import ErrorKind, MailError, Options, Quota
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.admin_client import AccountInfo, AdminClient, DomainInfo

BATCH: Final = 200  # accounts that are made in one call

_ADD, _CHANGE, _REMOVE = "+", "~", "-"
_DOMAIN_FIELDS: Final = {"quota": "default_quota", "options": "default_options"}


@dataclass(slots=True)
class Change:
    """One line of the plan. `fields` are to be sent, `texts` to be shown."""

    sign: str
    kind: str  # domain, account
    name: str
    entry: Entry | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    password: bool = False  # the entry's secret is to be set

    def __str__(self) -> str:
        texts = f": {', '.join(self.texts)}" if self.texts else ""
        return f"{self.sign} {self.kind} {self.name}{texts}"


@dataclass(slots=True)
class Plan:
    """What is to be done, and how many things are as they should be."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0

    def counts(self) -> dict[str, int]:
        """Return how many are added, changed, removed and unchanged."""
        signs = [change.sign for change in self.changes]
        return {
            "added": signs.count(_ADD),
            "changed": signs.count(_CHANGE),
            "removed": signs.count(_REMOVE),
            "unchanged": self.unchanged,
        }


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON.")],
    *,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Remove accounts of the file's domains that it does not name."
        ),
    ] = False,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    json: JsonFlag = False,
) -> None:
    """Make domains and accounts what FILE says; what it does not say stays.

    Mail stays on disk whatever is removed.
    """
    with output.errors():
        wanted = accounts_file.read(file)
    with admin() as client:
        plan = make_plan(client, wanted, prune=prune)
        if not json:
            for change in plan.changes:
                typer.echo(output.plain(str(change)))
        removed = plan.counts()["removed"]
        if not dry_run:
            if removed:
                question = f"Remove {removed} accounts? Their mail stays on disk."
                output.confirm(question, yes=yes, needed_in_scripts=True)
            carry_out(client, plan)
    _say(plan, dry_run=dry_run, as_json=json)


def _say(plan: Plan, *, dry_run: bool, as_json: bool) -> None:
    counts = plan.counts()
    if as_json:
        changes = [
            {"change": c.sign, "kind": c.kind, "name": c.name, "details": c.texts}
            for c in plan.changes
        ]
        output.print_json({"applied": not dry_run, "changes": changes, **counts})
        return
    text = ", ".join(f"{number} {word}" for word, number in counts.items())
    typer.echo(f"would be: {text}" if dry_run else text)


# --- the plan -------------------------------------------------------------------------------------


def make_plan(client: AdminClient, wanted: AccountsFile, *, prune: bool = False) -> Plan:
    """Compare a file with what there is. Raises MailError, BAD_REQUEST with the file's line."""
    plan = Plan()
    domains = {domain.name: domain for domain in client.domains()}
    named = {entry.name.lower() for entry in wanted.domains}
    for entry in wanted.domains:
        _plan_domain(plan, entry, domains.get(entry.name.lower()))
    used = {entry.name.rpartition("@")[2].lower() for entry in wanted.accounts}
    accounts = {
        account.address: account
        for domain in sorted((named | used) & domains.keys())
        for account in client.accounts(domain)
    }
    seen = set()
    for entry in wanted.accounts:
        domain = entry.name.rpartition("@")[2].lower()
        if domain not in domains and domain not in named:
            text = f"{wanted.path}:{entry.line}: {entry.name}: there is no domain {domain!r}"
            raise MailError(ErrorKind.BAD_REQUEST, text)
        found = accounts.get(entry.name) or accounts.get(entry.name.lower())
        if found is not None:
            if found.address in seen:
                text = f"{wanted.path}:{entry.line}: {found.address} is there twice"
                raise MailError(ErrorKind.BAD_REQUEST, text)
            seen.add(found.address)
        _plan_account(client, plan, wanted.path, entry, found)
    if prune:
        for address in sorted(accounts.keys() - seen):
            if address.rpartition("@")[2] in named:
                plan.changes.append(Change(_REMOVE, "account", address))
    return plan


def _plan_domain(plan: Plan, entry: Entry, found: DomainInfo | None) -> None:
    fields = {_DOMAIN_FIELDS[word]: value for word, value in entry.fields.items()}
    if found is None:
        texts = [f"{word} {value}" for word, value in entry.fields.items() if value]
        plan.changes.append(Change(_ADD, "domain", entry.name, entry, fields, texts))
        return
    differing = {
        word: value
        for word, value in entry.fields.items()
        if not _same(word, value, getattr(found, _DOMAIN_FIELDS[word]))
    }
    if not differing:
        plan.unchanged += 1
        return
    texts = [
        _from_to(word, getattr(found, _DOMAIN_FIELDS[word]), value)
        for word, value in differing.items()
    ]
    sent = {_DOMAIN_FIELDS[word]: value for word, value in differing.items()}
    plan.changes.append(Change(_CHANGE, "domain", found.name, entry, sent, texts))


def _plan_account(
    client: AdminClient, plan: Plan, path: str, entry: Entry, found: AccountInfo | None
) -> None:
    fields = dict(entry.fields)
    if found is None:
        texts = [
            word if value is True else f"{word} {value}" for word, value in fields.items() if value
        ]
        if entry.secret is not None:
            texts.append("password")
        password = bool(entry.secret and entry.secret.password)
        change = Change(_ADD, "account", entry.name, entry, fields, texts, password)
        plan.changes.append(change)
        return
    for word in ("home", "maildir"):
        value = fields.pop(word, None)
        if value is not None and Path(value) != getattr(found, word):
            text = f"its {word} is {getattr(found, word)} and cannot be changed"
            raise MailError(ErrorKind.BAD_REQUEST, f"{path}:{entry.line}: {entry.name}: {text}")
    sent = {w: value for w, value in fields.items() if not _same(w, value, getattr(found, w))}
    texts = [_from_to(word, getattr(found, word), value) for word, value in sent.items()]
    password = entry.secret is not None and _set_secret(client, found.address, entry, dry_run=True)
    if password:
        texts.append("password")
    if not texts:
        plan.unchanged += 1
        return
    plan.changes.append(Change(_CHANGE, "account", found.address, entry, sent, texts, password))


def _same(word: str, wanted: Any, found: Any) -> bool:
    if word == "quota":  # "" takes the domain's default, "0S" is unlimited
        return bool(wanted) == bool(found) and Quota.parse(wanted) == Quota.parse(found)
    if word == "options":
        return Options.parse(wanted) == Options.parse(found)
    return bool(wanted == found)


def _from_to(word: str, before: Any, after: Any) -> str:
    if isinstance(after, bool):
        return word if after else f"no longer {word}"
    return f"{word} {_quoted(before)} -> {_quoted(after)}"


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


# --- what is done ---------------------------------------------------------------------------------


def carry_out(client: AdminClient, plan: Plan) -> None:
    """Do what the plan says. Raises MailError at the first thing that is refused."""
    for change in plan.changes:
        if change.kind == "domain":
            call = client.create_domain if change.sign == _ADD else client.update_domain
            call(change.name, **change.fields)
    accounts = [change for change in plan.changes if change.kind == "account"]
    new = [change for change in accounts if change.sign == _ADD]
    for at in range(0, len(new), BATCH):
        _create(client, new[at : at + BATCH])
    for change in accounts:
        if change.sign == _REMOVE:
            client.delete_account(change.name)
            continue
        if change.sign == _CHANGE and change.fields:
            client.update_account(change.name, **change.fields)
        if change.password and change.entry is not None:
            _set_secret(client, change.name, change.entry, dry_run=False)


def _create(client: AdminClient, changes: list[Change]) -> None:
    request = pb.ImportAccountsRequest(
        accounts=[
            pb.ImportAccount(
                account=pb.Account(address=change.name, **change.fields),
                password_hash=(change.entry.secret.stored if _secret_of(change) else ""),  # type: ignore[union-attr]  # asked just there
            )
            for change in changes
        ]
    )
    results = client.import_accounts(request)
    for change, result in zip(changes, results, strict=True):
        if result.outcome == "refused":
            raise MailError(ErrorKind.BAD_REQUEST, f"account {change.name}: {result.text}")


def _secret_of(change: Change) -> bool:
    return change.entry is not None and change.entry.secret is not None


def _set_secret(client: AdminClient, address: str, entry: Entry, *, dry_run: bool) -> bool:
    """Set the entry's password; True where that changes something."""
    secret = entry.secret
    if secret is None:
        return False
    if secret.password:
        return client.set_password(address, secret.password, dry_run=dry_run)
    return client.set_password_hash(address, secret.stored, dry_run=dry_run)


# --- export ---------------------------------------------------------------------------------------


def export(
    domain: Annotated[str, typer.Argument(metavar="[DOMAIN]", show_default=False)] = "",
    hashes: Annotated[
        bool, typer.Option("--hashes", help="With password hashes (superadmins).")
    ] = False,
    homes: Annotated[
        bool, typer.Option("--homes", help="With homes, as needed to make accounts elsewhere.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Write domains and accounts as a file that apply reads."""
    with admin() as client:
        found = {
            "domains": {
                info.name: _said({"quota": info.default_quota, "options": info.default_options})
                for info in client.domains()
                if domain in ("", info.name)
            },
            "accounts": dict(_exported(client, domain, hashes, homes)),
        }
    if json:
        output.print_json(found)
        return
    import yaml  # noqa: PLC0415 - only here

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(found, Dumper=dumper, sort_keys=False, allow_unicode=True)
    typer.echo(text, nl=False)


def _exported(
    client: AdminClient, domain: str, hashes: bool, homes: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    for info in client.accounts(domain):
        fields: dict[str, Any] = {
            "name": info.name,
            "quota": info.quota,
            "options": info.options,
            "disabled": info.disabled,
            "uid": info.uid,
            "gid": info.gid,
        }
        if homes:
            fields |= {"home": str(info.home), "maildir": str(info.maildir)}
        if hashes and info.has_password:
            fields["password_hash"] = client.test_login(info.address, show_hash=True).password_hash
        yield info.address, _said(fields)


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in fields.items() if value}
