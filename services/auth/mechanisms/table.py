"""What there is beside the plain password: mechanisms by name, verifiers, master users."""

from collections.abc import Mapping

from restante.model import ErrorKind, MailError
from services.auth.backends.chain import Chain
from services.auth.database.engine import Database
from services.auth.factors.security import Factors
from services.auth.masters import Masters
from services.auth.mechanisms.base import Mechanism
from services.auth.mechanisms.bearer import BearerMechanism
from services.auth.mechanisms.cram import CramMechanism
from services.auth.mechanisms.external import ExternalMechanism
from services.auth.mechanisms.scram import ScramMechanism
from services.auth.names import NameRules
from services.auth.oauth.tokens import OAuthTokens
from services.auth.passwords import cram
from services.auth.passwords.derive import KINDS, Deriver
from services.auth.passwords.verifier import Verifier
from services.auth.secret import derive, service_secret
from services.auth.settings import AuthSettings


class MoreMechanisms:
    """Made and used inside one event loop; `close` after."""

    def __init__(
        self,
        settings: AuthSettings,
        chain: Chain,
        rules: NameRules,
        *,
        factors: Factors,
        database: Database,
        verifier: Verifier,
    ) -> None:
        self._settings, self._secret = settings, b""
        self.masters = Masters(database)
        self.separator = settings.master_separator  # in "account*master", "" for no such logins
        self.deriver = Deriver(
            database,
            verifier,
            kinds=[KINDS[name] for name in settings.derive],
            iterations=settings.scram_iterations,
        )
        self.scram = ScramMechanism(
            chain,
            factors,
            database,
            verifier,
            secret=self._scram_secret,
            iterations=settings.scram_iterations,
        )
        named: dict[str, Mechanism] = {
            "scram-sha-256": self.scram,
            "scram-sha-256-plus": self.scram,
            **{
                f"cram-{name}": CramMechanism(chain, factors, database, name)
                for name in cram.HASHES
            },
        }
        self._tokens: OAuthTokens | None = None
        if settings.oauth_issuer or settings.oauth_introspection_url:
            self._tokens = OAuthTokens(settings)
            bearer = BearerMechanism(chain, rules, self._tokens)
            named |= {"oauthbearer": bearer, "xoauth2": bearer}
        if settings.external:
            named["external"] = ExternalMechanism(chain)
        self.named: Mapping[str, Mechanism] = named

    def _scram_secret(self) -> bytes:
        """Read once, when it is wanted: the file may come later. Raises MailError(TEMPORARY)."""
        if not self._secret:
            try:
                self._secret = derive(service_secret(self._settings), "scram salts")
            except MailError as error:
                raise MailError(ErrorKind.TEMPORARY, "the service secret is missing") from error
        return self._secret

    async def close(self) -> None:
        """End what is under way."""
        await self.deriver.close()
        if self._tokens is not None:
            await self._tokens.close()
