"""The throttle that the settings ask for."""

from services.auth.sections.throttle import ThrottleSettings
from services.auth.throttle.counters import Counters, LocalCounters, Pace
from services.auth.throttle.shared import SharedCounters
from services.auth.throttle.throttle import Known, Throttle


def make_throttle(settings: ThrottleSettings, known: Known | None = None) -> Throttle:
    """Return a throttle; it connects to Redis when it is first used."""
    pace = Pace(
        settings.throttle_base_seconds,
        settings.throttle_cap_seconds,
        settings.throttle_patience_seconds,
        settings.throttle_forget_seconds,
    )
    local = LocalCounters(pace, limit=settings.throttle_remembered)
    counters: Counters = local
    if settings.throttle_redis is not None:
        counters = SharedCounters(settings.throttle_redis.get_secret_value(), pace, local)
    return Throttle(
        pace,
        place_free=settings.throttle_address_free,
        login_free=settings.throttle_user_free,
        counters=counters,
        known=known,
    )
