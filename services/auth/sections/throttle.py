"""Settings: what failed logins cost."""

from pydantic import Field, SecretStr

from restante.runtime.settings import ServiceSettings


class ThrottleSettings(ServiceSettings):
    """Brute force."""

    failure_seconds: float = Field(
        0.25, ge=0, le=4, description="A refused login is never answered faster."
    )
    throttle_base_seconds: float = Field(
        0.25, ge=0, le=60, description="Wait after the first failed login, doubled by each more."
    )
    throttle_cap_seconds: float = Field(
        15.0, ge=0, le=3600, description="Longest wait between failed logins."
    )
    throttle_patience_seconds: float = Field(
        3.0, ge=0, le=4, description="A login that would wait longer is refused as temporary."
    )
    throttle_forget_seconds: float = Field(
        900.0, ge=1, le=86400 * 7, description="Failures older than this are forgotten."
    )
    throttle_address_free: int = Field(
        20, ge=0, le=1_000_000, description="Failures of an address or /64 that slow nothing yet."
    )
    throttle_user_free: int = Field(
        100, ge=0, le=1_000_000, description="Failures of a user from everywhere, likewise."
    )
    throttle_remembered: int = Field(
        65536, ge=16, le=10_000_000, description="Users, addresses and pairs remembered here."
    )
    throttle_redis: SecretStr | None = Field(
        None, description="redis://... where all replicas of auth count; by default each its own."
    )
