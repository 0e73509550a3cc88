"""The HTTP hook: POST /v1/deliver, GET /v1/recipients/{address}, /healthz, /openapi.json.

Status of a delivery, made so that a caller which retries on 5xx and network errors only does the
right thing:

    200  stored for every recipient
    207  stored for some; the body says for whom not, and whether to try again
    400  the envelope is not understood
    401  no token, or a wrong one
    404  no recipient is known here
    408  the body stopped coming
    413  the body is too large
    415  not message/rfc822
    422  refused for every recipient; or the Idempotency-Key stood for another request
    503  not stored for anyone, and at least one may be tried again (Retry-After)

The body is handed to `Message` as it comes; nothing holds it whole.
"""

import asyncio
import hashlib
import hmac
import re
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

import restante
from restante.model import Address, Envelope, ErrorKind, MailError, spans
from restante.runtime import counters
from restante.runtime.session_id import next_number, session_id
from restante.store.volume import check_volume
from restante.wire.lmtp import Reply
from services.delivery.deliver import Message, Result
from services.delivery.ledger import KeyLedger
from services.delivery.lmtp import Backend
from services.delivery.recipients import Target

_TYPES: Final = ("message/rfc822", "message/global", "application/octet-stream")
_KEY: Final = re.compile(r"[!-~]{1,255}\Z")
_MTA_ID: Final = re.compile(r"[A-Za-z0-9._+-]{1,64}\Z")
_BETWEEN: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_RETRY_AFTER: Final = "60"  # seconds


class RecipientResult(BaseModel):
    """What became of the message for one recipient."""

    recipient: str = Field(examples=["fred@example.test"])
    status: Literal["delivered", "duplicate", "refused", "deferred"] = Field(
        description="duplicate: an earlier request with this Idempotency-Key delivered it. "
        "refused: will not succeed. deferred: try again."
    )
    code: str = Field(description="Enhanced status code (RFC 3463).", examples=["2.1.5"])
    text: str = ""


class DeliveryResult(BaseModel):
    """One result per recipient, in the order of the request."""

    id: str = Field(description="Also in the Received field and in the log.")
    recipients: list[RecipientResult]


class Problem(BaseModel):
    """Why the request was not taken."""

    error: str
    text: str


class RecipientInfo(BaseModel):
    """A recipient that mail is taken for."""

    recipient: str
    account: str = Field(description="The account that gets the mail.")


class _Refused(Exception):  # noqa: N818 - the way from anywhere to one answer
    def __init__(self, status: int, error: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.error = error
        self.text = text


def create_app(backend: Backend, token: str, ledger: KeyLedger) -> FastAPI:
    """Return the application of one worker."""
    app = FastAPI(
        title="Restante delivery",
        version=restante.__version__,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    hook = _Hook(backend, ledger)
    bearer = HTTPBearer(auto_error=False, description="RESTANTE_DELIVERY_HTTP_TOKEN")

    async def authorised(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), token.encode()):
            raise _Refused(401, "unauthorised", "A bearer token is needed")

    @app.exception_handler(_Refused)
    async def refused(request: Request, fault: _Refused) -> JSONResponse:
        headers = {}
        if fault.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if fault.status == 503:
            headers["Retry-After"] = _RETRY_AFTER
        return JSONResponse(
            {"error": fault.error, "text": fault.text}, status_code=fault.status, headers=headers
        )

    problems: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem} for code in (400, 401, 404, 408, 413, 415, 422, 503)
    }
    app.post(
        "/v1/deliver",
        summary="Deliver one message",
        response_model=DeliveryResult,
        responses={
            **problems,
            207: {"model": DeliveryResult},
            404: {"model": DeliveryResult | Problem},
            422: {"model": DeliveryResult | Problem},
            503: {"model": DeliveryResult | Problem},
        },
        dependencies=[Depends(authorised)],
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"message/rfc822": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )(hook.deliver)
    app.get(
        "/v1/recipients/{address}",
        summary="Is mail taken for this address?",
        response_model=RecipientInfo,
        responses={code: problems[code] for code in (400, 401, 404, 422, 503)},
        dependencies=[Depends(authorised)],
    )(hook.recipient)
    app.get("/healthz", summary="Can this worker store mail?", responses={503: problems[503]})(
        hook.health
    )
    return app


class _Hook:
    def __init__(self, backend: Backend, ledger: KeyLedger) -> None:
        self._backend = backend
        self._ledger = ledger

    async def deliver(  # noqa: PLR0917 - FastAPI reads the request's parts off the signature
        self,
        request: Request,
        sender: Annotated[
            str | None, Query(description="Envelope sender; empty is the null sender <>.")
        ] = None,
        recipient: Annotated[
            list[str] | None, Query(description="Envelope recipient; may be repeated.")
        ] = None,
        x_envelope_from: Annotated[str | None, Header(description="In place of `sender`.")] = None,
        x_envelope_to: Annotated[
            list[str] | None, Header(description="In place of `recipient`; comma separated.")
        ] = None,
        idempotency_key: Annotated[
            str | None,
            Header(description="A request that is sent again under its key delivers once."),
        ] = None,
        mta_id: Annotated[
            str | None,
            Query(description="The sending MTA's id of the message, for the log."),
        ] = None,
        x_mta_id: Annotated[str | None, Header(description="In place of `mta_id`.")] = None,
    ) -> JSONResponse:
        """Store one message for its recipients.

        The body is the message. The envelope comes in the query or in headers. The answer is
        given when the message is durable.
        """
        if recipient is None:
            recipient = [a for line in x_envelope_to or () for a in _BETWEEN.findall(line)]
        envelope = self._envelope(x_envelope_from if sender is None else sender, recipient, request)
        if idempotency_key is not None and not _KEY.match(idempotency_key):
            raise _Refused(400, "bad_key", "Idempotency-Key: 1 to 255 visible ASCII characters")
        kind = request.headers.get("content-type", _TYPES[0]).partition(";")[0].strip().lower()
        if kind not in _TYPES:
            raise _Refused(415, "bad_type", "Content-Type must be message/rfc822")
        limit = self._backend.settings.max_message_size
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 12 or int(declared) > limit):
            raise _Refused(413, "too_large", f"A message has at most {limit} octets")
        known_as = x_mta_id if mta_id is None else mta_id
        if known_as and not _MTA_ID.match(known_as):
            raise _Refused(400, "bad_mta_id", "mta_id: 1 to 64 letters, digits and . _ + -")
        session = session_id(next_number())
        parent = request.headers.get("traceparent", "") if spans.on() else ""
        with spans.span("http delivery", "server", parent=parent, session=session):
            names = session, known_as or ""
            return await self._deliver(request, envelope, idempotency_key, names)

    async def _deliver(
        self, request: Request, envelope: Envelope, key: str | None, known_as: tuple[str, str]
    ) -> JSONResponse:
        found = await self._find(envelope.recipients, known_as[0])
        targets = [target for target in found if isinstance(target, Target)]
        message_id, results = "", list[Result]()
        if targets:
            message_id, results = await self._store(request, envelope, targets, key, known_as)
        return self._answer(message_id, envelope, found, results)

    async def recipient(self, address: str) -> RecipientInfo:
        """Tell whether mail for an address would be taken, and by which account."""
        parsed = _address(address)
        try:
            target = await self._backend.recipients.find(parsed)
        except MailError as fault:
            if fault.kind is ErrorKind.TEMPORARY:
                raise _Refused(503, fault.kind.value, fault.text) from None
            raise _Refused(404, fault.kind.value, fault.text) from None
        return RecipientInfo(recipient=str(parsed), account=target.account.address)

    async def health(self) -> dict[str, str]:
        """Answer for load balancers: the mail volume is there. Needs no token."""
        depot = self._backend.depot
        try:
            await depot.pool.run(check_volume, depot.store.mail_root)
        except MailError:
            raise _Refused(503, "temporary", "The mail volume is not there") from None
        return {"status": "ok"}

    def _envelope(self, sender: str | None, recipients: list[str], request: Request) -> Envelope:
        if sender is None:
            raise _Refused(400, "bad_envelope", "sender is missing (empty is the null sender)")
        if not recipients:
            raise _Refused(400, "bad_envelope", "recipient is missing")
        if len(recipients) > self._backend.settings.max_recipients:
            raise _Refused(400, "bad_envelope", "too many recipients")
        sender = sender.strip()
        if sender == "<>":
            sender = ""
        return Envelope(
            _address(sender) if sender else None,
            tuple(map(_address, recipients)),
            request.client.host if request.client else "",
            "",
            "HTTPS" if request.url.scheme == "https" else "HTTP",
        )

    async def _find(
        self, recipients: tuple[Address, ...], session: str
    ) -> list[Target | MailError]:
        self._backend.recipients.ask_ahead(list(recipients), session)
        found: list[Target | MailError] = []
        for recipient in recipients:
            try:
                found.append(await self._backend.recipients.find(recipient, session=session))
            except MailError as fault:
                found.append(fault)
        return found

    async def _store(
        self,
        request: Request,
        envelope: Envelope,
        targets: list[Target],
        key: str | None,
        known_as: tuple[str, str],  # session, mta_id
    ) -> tuple[str, list[Result]]:
        accepted = Envelope(
            envelope.sender,
            tuple(t.recipient for t in targets),
            envelope.peer,
            envelope.helo,
            envelope.protocol,
        )
        message = Message(
            self._backend.depot, accepted, targets, session=known_as[0], mta_id=known_as[1]
        )
        digest = hashlib.sha256(_fingerprint(envelope))
        limit = self._backend.settings.max_message_size
        size = 0
        try:
            stream = request.stream()
            while True:
                async with asyncio.timeout(self._backend.settings.idle_timeout):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                size += len(chunk)
                if size > limit:
                    raise _Refused(413, "too_large", f"A message has at most {limit} octets")
                if key is not None:
                    digest.update(chunk)
                if message.hold(chunk):
                    await message.flush()
            if key is not None:
                await self._claim(key, digest.hexdigest())
            return message.id, await message.finish(key)
        except TimeoutError:
            raise _Refused(408, "timeout", "The body did not come in time") from None
        except ClientDisconnect:
            raise _Refused(400, "incomplete", "The body ended too early") from None
        finally:
            await message.abort()

    async def _claim(self, key: str, request: str) -> None:
        try:
            ours = await self._backend.depot.pool.run(self._ledger.claim, key, request)
        except MailError as fault:
            raise _Refused(503, fault.kind.value, fault.text) from None
        if not ours:
            raise _Refused(
                422, "key_reused", "This Idempotency-Key stood for another envelope or message"
            )

    def _answer(
        self,
        message_id: str,
        envelope: Envelope,
        found: list[Target | MailError],
        results: list[Result],
    ) -> JSONResponse:
        left = iter(results)
        rows = []
        for recipient, item in zip(envelope.recipients, found, strict=True):
            result = next(left) if isinstance(item, Target) else None
            error = result.error if result is not None else item
            duplicate = result is not None and result.duplicate
            rows.append(self._row(recipient, error, duplicate=duplicate))
        status = _status([row.status for row in rows], found)
        return JSONResponse(
            DeliveryResult(id=message_id, recipients=rows).model_dump(),
            status_code=status,
            headers={"Retry-After": _RETRY_AFTER} if status == 503 else None,
        )

    def _row(self, recipient: Address, error: Any, *, duplicate: bool) -> RecipientResult:
        if not isinstance(error, MailError):
            word: Literal["delivered", "duplicate"] = "duplicate" if duplicate else "delivered"
            return RecipientResult(recipient=str(recipient), status=word, code="2.1.5")
        counters.error(error)
        reply = Reply.of(error, over_quota=self._backend.settings.over_quota)
        return RecipientResult(
            recipient=str(recipient),
            status="deferred" if reply.code < 500 else "refused",
            code=reply.status,
            text=error.text,
        )


def _status(words: list[str], found: list[Target | MailError]) -> int:
    stored = sum(word in ("delivered", "duplicate") for word in words)
    if stored:
        return 200 if stored == len(words) else 207
    if "deferred" in words:
        return 503
    unknown = (isinstance(f, MailError) and f.kind is ErrorKind.NO_SUCH_USER for f in found)
    return 404 if all(unknown) else 422


def _address(text: str) -> Address:
    text = text.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    try:
        return Address.parse(text)
    except MailError:
        raise _Refused(400, "bad_envelope", "an address is not valid") from None


def _fingerprint(envelope: Envelope) -> bytes:
    sender = "" if envelope.sender is None else str(envelope.sender)
    return "\n".join([sender, *map(str, envelope.recipients), "", ""]).encode()
