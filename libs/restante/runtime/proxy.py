"""Whether an account's session is served by another host (Courier's option `mailhost`), and how
the dialogue with that host begins."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from restante.model import Account, ErrorKind, MailError
from restante.runtime.log import get_logger
from restante.runtime.settings import AbsolutePath, CommaList, ServiceSettings
from restante.runtime.upstream import Security, Upstream, UpstreamAddress, client_context

_log = get_logger(__name__)


class ProxySettings(ServiceSettings):
    """Settings of a service that can pass sessions on."""

    proxy_default_port: ClassVar[int]
    proxy_implicit_port: ClassVar[int]

    proxy: bool = Field(
        True, description="Pass sessions of accounts with the option mailhost on to that host."
    )
    proxy_names: CommaList = Field(
        (), description="Values of mailhost that mean this system, beside RESTANTE_HOSTNAME."
    )
    proxy_tls: Security = Field(
        "starttls", description="TLS to mailhost; its certificate must be good for that name."
    )
    proxy_ca: AbsolutePath | None = Field(
        None, description="CA of mailhosts; by default those of the operating system."
    )
    proxy_timeout: float = Field(
        10, gt=0, le=120, description="Seconds that mailhost has for each step of a login."
    )

    def upstream(self, account: Account) -> UpstreamAddress | None:
        """Return where the account's mail is, None for here. Raises MailError(TEMPORARY)."""
        name = account.options.get("mailhost", "")
        if not (self.proxy and name) or name in (self.hostname, *self.proxy_names):
            return None
        implicit = self.proxy_tls == "implicit"
        port = self.proxy_implicit_port if implicit else self.proxy_default_port
        return UpstreamAddress.parse(name, port)


@asynccontextmanager
async def dialogue(
    settings: ProxySettings,
    address: UpstreamAddress,
    greeting: bytes,
    consent: Callable[[Upstream], Awaitable[bool]],
    *,
    session: str,
) -> AsyncIterator[Upstream]:
    """Give an upstream that has greeted, with the TLS that the settings ask for.

    It is closed where the body fails. `consent` asks for STARTTLS or STLS and tells whether the
    host agrees; `session` is the client's, for the log. Raises MailError(TEMPORARY).
    """
    seconds = settings.proxy_timeout
    context = client_context(settings.proxy_ca) if settings.proxy_tls != "off" else None
    implicit = context if settings.proxy_tls == "implicit" else None
    upstream = await Upstream.connect(address, implicit, seconds, session=session)
    try:
        if not (await upstream.line(seconds)).upper().startswith(greeting):
            raise unusable(address, "does not answer", session)  # noqa: TRY301 - caught to be closed
        if context is not None and implicit is None:
            if not await consent(upstream):
                raise unusable(address, "offers no TLS", session)  # noqa: TRY301 - caught to be closed
            await upstream.start_tls(context, address.host, seconds)
        yield upstream
    except BaseException:
        upstream.close()
        raise


def unusable(address: UpstreamAddress, why: str, session: str) -> MailError:
    """Return, and log, that a mailhost cannot be used."""
    _log.warning("mailhost cannot be used", session=session, host=address.host, reason=why)
    return MailError(ErrorKind.TEMPORARY, f"The server of this mailbox {why}.")
