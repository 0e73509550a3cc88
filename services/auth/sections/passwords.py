"""Settings: new hashes, and how many passwords are checked at once."""

from pydantic import Field

from restante.runtime.settings import ServiceSettings


class PasswordSettings(ServiceSettings):
    """Password hashing."""

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
