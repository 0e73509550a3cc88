"""What a token says, and whether that is enough (RFC 7519 section 4.1, RFC 7662 section 2.2)."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must say."""

    user_claim: str
    audience: Collection[str] = ()  # one of them; none is asked for where this is empty
    issuer: str = ""  # "" for any
    leeway: float = 30.0  # seconds


def user_in(claims: Mapping[str, Any], rules: Rules, now: float, *, expires: bool) -> str | None:
    """Return the user whom the claims name, None where they are not good enough.

    `now` in unix seconds; `expires`: a token without an end is none.
    """
    end, start = claims.get("exp"), claims.get("nbf")
    if end is None:
        if expires:
            return None
    elif not _is_time(end) or end + rules.leeway <= now:
        return None
    if start is not None and (not _is_time(start) or start - rules.leeway > now):
        return None
    if rules.issuer and claims.get("iss") != rules.issuer:
        return None
    if rules.audience and not _names_one(claims.get("aud"), rules.audience):
        return None
    user = claims.get(rules.user_claim)
    if not isinstance(user, str) or not user:
        return None
    if rules.user_claim == "email" and claims.get("email_verified") in (False, "false"):
        return None  # its owner only says that it is his
    return user


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _names_one(value: object, audience: Collection[str]) -> bool:
    named = [value] if isinstance(value, str) else value
    return isinstance(named, list) and any(name in audience for name in named)
