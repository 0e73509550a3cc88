"""Settings: new hashes, what new passwords must be, how many are checked at once."""

from pydantic import Field

from restante.runtime.settings import ServiceSettings


class PasswordSettings(ServiceSettings):
    """Password hashing, and the policy."""

    argon2_time: int = Field(2, ge=1, le=64, description="Passes of argon2id for new hashes.")
    argon2_memory_kib: int = Field(
        19456, ge=64, le=4 * 1024 * 1024, description="Memory of argon2id in KiB."
    )
    argon2_parallelism: int = Field(1, ge=1, le=16, description="Lanes of argon2id.")
    verify_threads: int = Field(
        0, ge=0, le=256, description="Threads that check passwords; 0 is one per CPU."
    )
    verify_queue: int = Field(
        256, ge=1, le=100_000, description="Checks at once; more are a temporary failure."
    )
    upgrade_hashes: bool = Field(
        False,
        description="Replace hashes that are weaker than new ones, when their owner logs in.",
    )
    password_min_length: int = Field(
        8, ge=1, le=128, description="Characters that a new password has at least."
    )
    password_min_score: int = Field(
        2, ge=0, le=4, description="zxcvbn's score that a new password has at least; 0 is off."
    )
    password_common: int = Field(
        30_000, ge=0, le=30_000, description="So many of the commonest passwords are refused."
    )
    password_policy_for_admins: bool = Field(
        False, description="The three above also hold for passwords that administrators set."
    )
