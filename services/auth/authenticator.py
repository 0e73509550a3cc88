"""One login from end to end, for gRPC and for the authdaemond socket alike.

Order: read the name, wait for the throttle, let the mechanism judge (account, secret), judge
`disabled`; where somebody wants to be somebody else, ask whether he may (masters.py). Whether a
user exists shows in nothing: same error, same text, same hash work, and a failure is never
answered before `failure_floor` seconds, which covers what the check of a slower hash adds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from restante.model import Account, ErrorKind, MailError
from services.auth import metrics
from services.auth.audit import Audit, Kind
from services.auth.backends.asked import for_service
from services.auth.backends.base import Backend, PasswordChange, Record
from services.auth.backends.chain import Chain
from services.auth.factors.security import Factors
from services.auth.login_debug import LoginDebug
from services.auth.mechanisms.base import Attempt, Match, Mechanism
from services.auth.mechanisms.password import PasswordMechanism
from services.auth.mechanisms.table import MoreMechanisms
from services.auth.names import Login, NameRules
from services.auth.passwords.policy import PasswordPolicy
from services.auth.passwords.upgrade import HashUpgrades
from services.auth.passwords.verifier import Verifier
from services.auth.throttle.throttle import Throttle
from services.auth.trace import step

_PLAIN: Final = ("plain", "login")
_PARAMETERS_FLOOR: Final = 0.02  # seconds; the time of this answer tells nothing, either


async def _nothing(_address: str, _keep_session: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who came in, and how."""

    match: Match
    actor: str = ""  # the master user who came in as somebody else

    @property
    def account(self) -> Account:
        """The account that was opened."""
        return self.match.record.account


class _MayNotEnterError(MailError):
    """`actor` proved who he is (an address), and may not be `wanted` (as the client said it)."""

    def __init__(self, actor: str, wanted: str) -> None:
        super().__init__(ErrorKind.PERMISSION, "acting as another user is not allowed")
        self.actor, self.wanted = actor, wanted


class Authenticator:
    """Answers who may come in."""

    def __init__(
        self,
        chain: Chain,
        rules: NameRules,
        verifier: Verifier,
        throttle: Throttle,
        factors: Factors,
        *,
        failure_floor: float = 0.25,
        password_changed: Callable[[str, str], Awaitable[None]] = _nothing,
        policy: PasswordPolicy | None = None,
        upgrades: HashUpgrades | None = None,
        audit: Audit | None = None,
        debug: LoginDebug | None = None,
        more: MoreMechanisms | None = None,
    ) -> None:
        """`failure_floor` in seconds; 0 answers failures as soon as they are known.

        `password_changed` is awaited with the address, and the id of the webmail session that goes
        on, after a password was changed, before that is answered. `policy` judges passwords that
        owners choose; `upgrades` gets each plain password that fitted. `more` is what there is
        beside plain passwords.
        """
        self.chain, self.rules, self.verifier, self.throttle = chain, rules, verifier, throttle
        self.factors = factors
        self._floor = failure_floor
        self._password_changed = password_changed
        self._policy, self._upgrades = policy or PasswordPolicy(), upgrades
        self._audit = audit
        self._debug = debug or LoginDebug(enabled=False)
        self._more = more
        password = PasswordMechanism(chain, verifier, factors)
        self._mechanisms: Mapping[str, Mechanism] = {
            "plain": password,
            "login": password,
            **(more.named if more else {}),
        }

    async def authenticate(self, attempt: Attempt) -> Admission:
        """Judge an attempt. Raises MailError(AUTH_FAILED | DISABLED | TEMPORARY)."""
        started, result = perf_counter(), "internal"
        try:
            with self._debug.following("authenticate", attempt):
                admission = await self.judge(attempt)
            result = "ok"
        except MailError as error:
            result = error.kind.value
            self._refused("login", attempt, error)
            raise
        finally:
            spent = perf_counter() - started
            metrics.login(attempt.service, attempt.mechanism, result, spent)
        if self._audit is not None:
            match = admission.match
            self._audit.record(
                # Webmail's login is complete, and recorded, after the second factor.
                action="login.password" if attempt.second_factor_follows else "login",
                kind=Kind.LOGINS,
                actor=f"master {admission.actor}" if admission.actor else "owner",
                address=match.record.account.address,
                service=attempt.service,
                peer=attempt.peer,
                detail=match.credential,
                session=attempt.session,
            )
        return admission

    async def scram_parameters(self, user: str, service: str) -> tuple[bytes, int]:
        """Return salt and iterations for whoever `user` names. Raises MailError.

        AUTH_FAILED where SCRAM is not offered, TEMPORARY for faults; an unknown user is no error.
        """
        if self._more is None:
            raise MailError(ErrorKind.AUTH_FAILED, "the mechanism is not offered")
        started = asyncio.get_running_loop().time()
        name = self._split(user)[0]
        with for_service(service):
            found = await self._more.scram.parameters(self.login(name), name, service)
        await self._wait_until(started + min(self._floor, _PARAMETERS_FLOOR))
        return found

    async def judge(self, attempt: Attempt) -> Admission:
        """As `authenticate`, without a record of it."""
        with for_service(attempt.service):
            return await self._judge(attempt)

    async def _judge(self, attempt: Attempt) -> Admission:
        started = asyncio.get_running_loop().time()
        mechanism = self._mechanisms.get(attempt.mechanism)
        if mechanism is None:
            raise MailError(ErrorKind.AUTH_FAILED, "the mechanism is not offered")
        user, wanted = self._split(attempt.user)
        if wanted and attempt.mechanism != "external":  # a certificate names one, whole
            attempt = replace(attempt, user=user, authorization=attempt.authorization or wanted)
        login = self.login(attempt.user)
        key = login.address if login else attempt.user[:320]
        async with self.throttle.attempt(key, attempt.peer) as turn:
            match = await mechanism.match(attempt, login)
            turn.ok = match is not None
        if match is None:
            await self._wait_until(started + self._floor)
            raise MailError(ErrorKind.AUTH_FAILED, "authentication failed")
        if match.record.account.disabled:
            raise MailError(ErrorKind.DISABLED, "account is disabled")
        if _is_main_password(attempt, match):
            if self._upgrades is not None:
                self._upgrades.consider(match, attempt.secret)
            if self._more is not None:
                self._more.deriver.consider(match, attempt.secret)
        wanted = attempt.authorization or attempt.user
        if not wanted or self._means(wanted, match.login):
            return Admission(match)
        # An app password is for its owner's mail program; it carries no office along.
        may = attempt.mechanism not in _PLAIN or _is_main_password(attempt, match)
        admission = await self._delegated(match, wanted) if may else None
        if admission is None:
            await self._wait_until(started + self._floor)
            raise _MayNotEnterError(match.record.account.address, wanted)
        if admission.account.disabled:
            raise MailError(ErrorKind.DISABLED, "account is disabled")
        return admission

    def _split(self, user: str) -> tuple[str, str]:
        """Return (who proves himself, whom he wants to be) of "account*master"."""
        separator = self._more.separator if self._more else ""
        account, _, master = user.rpartition(separator) if separator else ("", "", "")
        return (master, account) if account and master else (user, "")

    def _means(self, name: str, login: Login) -> bool:
        found = self.login(name)
        return found is not None and found.address == login.address

    async def _delegated(self, match: Match, wanted: str) -> Admission | None:
        """Return the admission of a master to another account, None where he has none."""
        actor, target = match.record.account.address, self.login(wanted)
        with step("master user") as asked:
            asked.answer = "not allowed"
            if target is None or self._more is None:
                return None
            if not await self._more.masters.may_enter(actor, target):
                return None
            found = await self.chain.find(target)
            if found is None:
                return None
            asked.answer = "allowed"
        module, record = found
        if match.read_only:
            record = replace(record, account=replace(record.account, read_only=True))
        # Never remembered: who may enter whom can change without a change of either account.
        return Admission(
            replace(match, login=target, module=module, record=record, reusable=False), actor
        )

    async def change_password(
        self, attempt: Attempt, new: bytes, *, keep_session: str = ""
    ) -> None:
        """Set the password of whoever knows the old one, in the module where it fitted.

        `keep_session` is the id of the webmail session that does not end. Raises MailError as
        `authenticate`, BAD_REQUEST for a password that the policy refuses, CANNOT where the module
        cannot change passwords.
        """
        try:
            with self._debug.following("change password", attempt):
                address = await self._set_password(attempt, new, keep_session)
        except MailError as error:
            self._refused("account.password", attempt, error)
            raise
        if self._audit is not None:
            self._audit.record(
                action="account.password",
                actor="owner",
                address=address,
                service=attempt.service,
                peer=attempt.peer,
                session=attempt.session,
            )
        await self._password_changed(address, keep_session)

    async def _set_password(self, attempt: Attempt, new: bytes, keep_session: str) -> str:
        admission = await self.judge(attempt)
        match, account = admission.match, admission.account
        if admission.actor or not _is_main_password(attempt, match):
            # What opens the mail does not change what opens everything.
            raise MailError(ErrorKind.AUTH_FAILED, "authentication failed")
        await self._policy.check(new, account.address, account.name)
        stored = await self.verifier.hash(new)
        verifiers = await self.verifiers(new)
        change = PasswordChange(new, stored, attempt.secret, keep_session, verifiers)
        if not await match.module.set_password(match.login, change):
            raise MailError(ErrorKind.CANNOT, "this password cannot be changed here")
        return match.record.account.address

    async def verifiers(self, password: bytes) -> dict[str, str]:
        """Return what is kept beside the hash of a new password, by kind; {} for nothing.

        Raises MailError(TEMPORARY).
        """
        return await self._more.deriver.derive(password) if self._more else {}

    async def lookup(self, address: str, session: str = "") -> Account:
        """Find an account, for a service's `session`. MailError(NO_SUCH_USER | TEMPORARY)."""
        return (await self.find(address, session=session))[1].account

    async def find(self, user: str, only: str = "", *, session: str = "") -> tuple[Backend, Record]:
        """Return the account of a name; `only` is the one module to ask, "" for all.

        Raises MailError(NO_SUCH_USER | TEMPORARY).
        """
        with self._debug.following("look up", Attempt(user, b"", "", session=session)):
            login = self.login(user)
            found = await self.chain.find(login, only) if login else None
            if found is None:
                raise MailError(ErrorKind.NO_SUCH_USER, "no such user")
        return found

    def login(self, text: str) -> Login | None:
        """Return the login meant by `text`, None where no account can have that name."""
        try:
            return self.rules.parse(text)
        except MailError:
            return None

    def _refused(self, action: str, attempt: Attempt, error: MailError) -> None:
        if self._audit is None:
            return
        address, actor = self._canonical(self._split(attempt.user)[0]), ""
        if isinstance(error, _MayNotEnterError):
            actor, address = f"master {error.actor}", self._canonical(error.wanted)
        self._audit.record(
            action=action,
            actor=actor,
            address=address,
            service=attempt.service,
            peer=attempt.peer,
            result=error.kind.value,
            detail=error.text,
            session=attempt.session,
        )

    def _canonical(self, name: str) -> str:
        login = self.login(name)
        return login.address if login else name[:320]

    async def _wait_until(self, moment: float) -> None:
        left = moment - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)


def _is_main_password(attempt: Attempt, match: Match) -> bool:
    return attempt.mechanism in _PLAIN and match.credential == "password"
