"""A login, a look-up or a change of password step by step, as its owner would make it.

It takes the same way as theirs, through the throttle, the modules and the checks, and tells it. A
refusal is an answer. The audit log has it as what it is, a test by an administrator.
"""

import hmac
import secrets

from restante.model import Account, ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.convert import account_to_message
from services.auth.admin.roles import Caller
from services.auth.admin.tools import Operation, Tools
from services.auth.backends.base import Backend, Record
from services.auth.mechanisms.base import Attempt
from services.auth.trace import Step, collecting, step

_MECHANISMS = ("plain", "login", "cram-md5")


class TestLogin:
    """The operation."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._auth = tools, tools.authenticator

    async def __call__(self, caller: Caller, request: pb.TestLoginRequest) -> pb.TestLoginResponse:
        """Try what the request says."""
        if request.new_password and not request.password:
            raise MailError(ErrorKind.BAD_REQUEST, "a change needs the old password, too")
        attempt = _attempt(request)
        answer = pb.TestLoginResponse(outcome="ok")
        with collecting() as trace:
            try:
                await self._try(request, attempt, answer)
            except MailError as error:
                if error.kind is ErrorKind.INTERNAL:
                    raise
                answer.outcome, answer.text = error.kind.value, error.text
        if answer.HasField("account"):  # a master's login may open another than it names
            caller.need_domain(answer.account.address.rpartition("@")[2])
        answer.steps.extend(map(_message, trace.steps))
        return answer

    async def _try(
        self, request: pb.TestLoginRequest, attempt: Attempt, answer: pb.TestLoginResponse
    ) -> None:
        if not request.password:
            module, record = await self._find(request.user)
            self._describe(answer, record.account, module, record, request)
            return
        if request.new_password:
            await self._auth.change_password(attempt, request.new_password)
            module, record = await self._find(request.user)
            self._describe(answer, record.account, module, record, request)
            return
        admission = await self._auth.judge(attempt)
        match = admission.match
        self._describe(answer, admission.account, match.module, match.record, request)
        answer.credential = match.credential

    async def _find(self, user: str) -> tuple[Backend, Record]:
        login = self._auth.login(user)
        if login is None:
            with step("name") as asked:
                asked.answer = "no account can have it"
        found = await self._auth.chain.find(login) if login else None
        if found is None:
            raise MailError(ErrorKind.NO_SUCH_USER, "no such user")
        return found

    def _describe(
        self,
        answer: pb.TestLoginResponse,
        account: Account,
        module: Backend,
        record: Record,
        request: pb.TestLoginRequest,
    ) -> None:
        answer.account.CopyFrom(account_to_message(account))
        answer.module = module.name
        if request.show_hash:
            answer.password_hash = record.password_for(request.service or "login")
            answer.clear_password = record.clear


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    return {"TestLogin": TestLogin(tools)}


def _attempt(request: pb.TestLoginRequest) -> Attempt:
    mechanism, secret, challenge = request.mechanism.lower() or "plain", request.password, b""
    if mechanism not in _MECHANISMS:
        text = f"tried are {', '.join(_MECHANISMS)}: others need a client's exchange"
        raise MailError(ErrorKind.BAD_REQUEST, text)
    if mechanism == "cram-md5":  # RFC 2195: what a client would answer to this challenge
        challenge = f"<{secrets.token_hex(8)}@test>".encode()
        secret = hmac.new(secret, challenge, "md5").hexdigest().encode()
    return Attempt(
        request.user,
        secret,
        request.service or "login",
        request.peer,
        tls=True,
        mechanism=mechanism,
        challenge=challenge,
    )


def _message(found: Step) -> pb.TestLoginResponse.Step:
    return pb.TestLoginResponse.Step(
        who=found.who, answer=found.answer, detail=found.detail, seconds=found.seconds
    )
