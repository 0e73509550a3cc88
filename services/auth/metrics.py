"""What the auth service counts; docs/metrics.md says what it means.

Labels that a caller chooses (service, mechanism) are taken from fixed sets; what is not in them is
`other`.
"""

import time
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from restante.runtime.metrics import Counter, Gauge, Histogram

P = ParamSpec("P")
T = TypeVar("T")

# Logins
_LOGINS: Final = Counter(
    "restante_auth_logins_total",
    "Logins judged, by the service that asked, mechanism, and result: ok or the kind of error.",
    ("protocol", "mechanism", "result"),
)
_LOGIN_SECONDS: Final = Histogram(
    "restante_auth_login_seconds",
    "Time to judge a login, with the waits that slow down guessing.",
    ("result",),
)
LOOKUPS: Final = Counter(
    "restante_auth_lookups_total",
    "Accounts looked up without a password: ok or the kind of error.",
    ("result",),
)
_PROTOCOLS: Final = frozenset(("imap", "pop3", "webmail", "smtp", "delivery", "admin"))
_MECHANISMS: Final = frozenset(
    (
        *("plain", "login", "cram-md5", "cram-sha1", "cram-sha256", "scram-sha-256"),
        *("scram-sha-256-plus", "oauthbearer", "xoauth2", "external"),
    )
)

# Calls
CALLS: Final = Counter(
    "restante_auth_calls_total", "gRPC calls that ended, by method and code.", ("method", "code")
)
CALL_SECONDS: Final = Histogram(
    "restante_auth_call_seconds", "Time of a gRPC call with one answer.", ("method",)
)
AUTHDAEMON: Final = Counter(
    "restante_auth_authdaemon_requests_total",
    "Requests of authdaemond's protocol: ok, or the kind of error.",
    ("command", "result"),
)

# Guessing
THROTTLE_WAIT: Final = Histogram(
    "restante_auth_throttle_wait_seconds",
    "How long logins were made to wait, of those that were.",
    buckets=(0.25, 0.5, 1, 2, 3, 5, 10, 15),
)
THROTTLE_REFUSALS: Final = Counter(
    "restante_auth_throttle_refusals_total",
    "Logins told to try again later since they would have waited too long.",
)
THROTTLE_REDIS_FAULTS: Final = Counter(
    "restante_auth_throttle_redis_faults_total",
    "Times that Redis did not answer, so that each replica counts failures alone for 5 s.",
)

# Passwords
VERIFY_WAITING: Final = Gauge(
    "restante_auth_verify_waiting", "Password checks that run or wait for a thread now."
)
VERIFY_WAIT: Final = Histogram(
    "restante_auth_verify_wait_seconds", "How long password checks waited for a thread."
)
VERIFY_SECONDS: Final = Histogram(
    "restante_auth_verify_seconds",
    "Time of a password check, by the scheme of the hash.",
    ("scheme",),
)
_VERIFY_CACHE: Final = Counter(
    "restante_auth_verify_cache_total",
    "Password checks: hit (the hash fitted before) or miss (a hash is computed).",
    ("result",),
)
VERIFY_HIT, VERIFY_MISS = _VERIFY_CACHE.labels("hit"), _VERIFY_CACHE.labels("miss")
VERIFY_REFUSALS: Final = Counter(
    "restante_auth_verify_refusals_total", "Logins refused since too many checks waited."
)

# Accounts
_ACCOUNT_CACHE: Final = Counter(
    "restante_auth_account_cache_total",
    "Accounts asked of our database: hit, miss, or unsure (nothing may be remembered just now).",
    ("result",),
)
ACCOUNT_HIT, ACCOUNT_MISS, ACCOUNT_UNSURE = (
    _ACCOUNT_CACHE.labels(result) for result in ("hit", "miss", "unsure")
)
MODULE_SECONDS: Final = Histogram(
    "restante_auth_module_seconds", "Time of a module's answer to who an account is.", ("module",)
)
MODULE_FAULTS: Final = Counter(
    "restante_auth_module_faults_total", "Questions that a module could not answer.", ("module",)
)
DATABASE_SECONDS: Final = Histogram(
    "restante_auth_database_seconds", "Time of a transaction of our database.", ("kind",)
)
DATABASE_FAULTS: Final = Counter(
    "restante_auth_database_faults_total", "Transactions that failed for good."
)
DATABASE_WAITING: Final = Gauge(
    "restante_auth_database_waiting", "Transactions that wait for a thread now."
)
PAM_HELPERS: Final = Gauge(
    "restante_auth_pam_helpers", "Helper processes of PAM: busy or idle.", ("state",)
)
PAM_WAITING: Final = Gauge(
    "restante_auth_pam_waiting", "Questions that wait for a helper process now."
)
PAM_FAILURES: Final = Counter(
    "restante_auth_pam_failures_total", "Helper processes that hung or died, and were ended."
)

# Changes
STREAMS: Final = Gauge("restante_auth_watch_streams", "Workers that follow revocations now.")
FOLLOWED: Final = Gauge(
    "restante_auth_changes_followed", "1 while no change of an account can be missed."
)
REVOCATIONS: Final = Counter(
    "restante_auth_revocations_total", "Changes of accounts that were told, by reason.", ("reason",)
)

# Audit
AUDIT_WAITING: Final = Gauge(
    "restante_auth_audit_waiting_rows", "Audit rows that are not in the table yet."
)
AUDIT_AGE: Final = Gauge(
    "restante_auth_audit_oldest_seconds", "Age of the oldest of them, 0 where there is none."
)
AUDIT_DROPPED: Final = Counter(
    "restante_auth_audit_dropped_total", "Audit rows that the table never got."
)


def login(service: str, mechanism: str, result: str, seconds: float) -> None:
    """Count a login that was judged."""
    service, mechanism = service.lower(), mechanism.lower()
    _LOGINS.labels(
        service if service in _PROTOCOLS else "other",
        mechanism if mechanism in _MECHANISMS else "other",
        result,
    ).inc()
    _LOGIN_SECONDS.labels(result).observe(seconds)


def timed(scheme: str, check: Callable[P, T]) -> Callable[P, T]:
    """Return a check of a password that tells how long it waited for its thread, and took."""
    asked = time.perf_counter()

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        started = time.perf_counter()
        VERIFY_WAIT.observe(started - asked)
        try:
            return check(*args, **kwargs)
        finally:
            VERIFY_SECONDS.labels(scheme).observe(time.perf_counter() - started)

    return run


for _protocol in ("imap", "pop3"):  # so that rates are there from the first one on
    for _mechanism in ("plain", "login"):
        for _result in ("ok", "auth_failed", "temporary"):
            _LOGINS.labels(_protocol, _mechanism, _result)
