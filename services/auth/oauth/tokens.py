"""Judges bearer tokens: JWTs by the issuer's keys (RFC 7519), others by introspection (RFC 7662).

Nothing about a token is remembered: a verdict could outlive its `exp`, or its withdrawal.
"""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any, Final

import httpx
from joserfc import jwt
from joserfc.errors import JoseError

from services.auth.oauth.claims import Rules, user_in
from services.auth.oauth.fetch import json_of, make_client
from services.auth.oauth.keys import IssuerKeys
from services.auth.settings import AuthSettings

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""Signatures by a private key alone: never "none", never a shared secret (HS256)."""


class IssuerTokens:
    """JWTs of one issuer."""

    def __init__(
        self, keys: IssuerKeys, rules: Rules, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys, self._rules, self._clock = keys, rules, clock

    async def user_of(self, token: bytes) -> str | None:
        """As mechanisms.bearer.Tokens."""
        header = _header(token)
        if header is None or header.get("alg") not in ALGORITHMS:
            return None
        kid = header.get("kid", "")
        key = await self._keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            return None
        try:
            claims: object = jwt.decode(token, key, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError):
            return None
        if not isinstance(claims, dict):
            return None
        return user_in(claims, self._rules, self._clock(), expires=True)

    async def close(self) -> None:
        """End requests under way."""
        await self._keys.close()


class Introspection:
    """Tokens that the issuer is asked about, each time."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        rules: Rules,
        *,
        credentials: tuple[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`credentials` are our name and secret at the issuer."""
        self._client, self._url, self._rules = client, url, rules
        self._credentials, self._clock = credentials, clock

    async def user_of(self, token: bytes) -> str | None:
        """As mechanisms.bearer.Tokens."""
        form = {"token": token.decode("ascii", "replace"), "token_type_hint": "access_token"}
        request = self._client.build_request("POST", self._url, data=form)
        if any(self._credentials):
            flow = httpx.BasicAuth(*self._credentials).sync_auth_flow(request)
            request = next(flow)
        claims = await json_of(self._client, request)
        if claims.get("active") is not True:
            return None
        return user_in(claims, self._rules, self._clock(), expires=False)


class OAuthTokens:
    """What the settings ask for."""

    def __init__(self, settings: AuthSettings) -> None:
        self._client = make_client()
        rules = Rules(
            settings.oauth_user_claim,
            settings.oauth_audience,
            settings.oauth_issuer or "",
            settings.oauth_leeway_seconds,
        )
        self._jwt: IssuerTokens | None = None
        if settings.oauth_issuer:
            keys = IssuerKeys(
                self._client,
                settings.oauth_issuer,
                settings.oauth_jwks_url or "",
                cache=settings.oauth_cache_seconds,
                refresh=settings.oauth_refresh_seconds,
            )
            self._jwt = IssuerTokens(keys, rules)
        self._introspection: Introspection | None = None
        if settings.oauth_introspection_url:
            secret = settings.oauth_client_secret
            self._introspection = Introspection(
                self._client,
                settings.oauth_introspection_url,
                Rules(rules.user_claim, rules.audience, "", rules.leeway),
                credentials=(
                    settings.oauth_client_id,
                    secret.get_secret_value() if secret else "",
                ),
            )

    async def user_of(self, token: bytes) -> str | None:
        """As mechanisms.bearer.Tokens."""
        if self._jwt is not None and (self._introspection is None or _header(token) is not None):
            return await self._jwt.user_of(token)
        if self._introspection is not None:
            return await self._introspection.user_of(token)
        return None

    async def close(self) -> None:
        """End requests under way, and connections."""
        if self._jwt is not None:
            await self._jwt.close()
        await self._client.aclose()


def _header(token: bytes) -> dict[str, Any] | None:
    """Return the header of a JWT, None for another kind of token."""
    parts = token.split(b".")
    if len(parts) != 3:
        return None
    try:
        header = json.loads(urlsafe_b64decode(parts[0] + b"=" * (-len(parts[0]) % 4)))
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None
