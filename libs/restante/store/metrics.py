"""What the store counts; docs/metrics.md says what it means."""

from typing import Final

from restante.model.tally import Counter, Gauge, Histogram

_TINY: Final = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

# Threads
POOL_WAIT: Final = Histogram(
    "restante_store_pool_wait_seconds",
    "How long file work waited for a thread.",
    buckets=_TINY,
).labels()
POOL_PENDING: Final = Gauge(
    "restante_store_pool_pending", "Jobs of file work that run or wait for a thread now."
)
POOL_PARKED: Final = Gauge(
    "restante_store_pool_parked", "Jobs that wait since their owner has enough threads."
)
POOL_THREADS: Final = Gauge("restante_store_pool_threads", "Threads for file work that exist.")

# Disk
_FSYNC: Final = Histogram(
    "restante_store_fsync_seconds", "Time of a sync to disk, by what was synced.", ("what",)
)
FSYNC_FILE, FSYNC_DIRECTORY, FSYNC_INDEX = (
    _FSYNC.labels(what) for what in ("message", "directory", "index")
)
SYNCS_SHARED: Final = Counter(
    "restante_store_directory_syncs_shared_total",
    "Deliveries that were made durable by the directory sync of another.",
)
_LISTING: Final = Histogram(
    "restante_store_listing_seconds", "Time of a directory listing, by directory.", ("directory",)
)
LISTINGS: Final = _LISTING.each(("new", "cur"))

# Index and cache
LOCK_WAIT: Final = Histogram(
    "restante_store_lock_wait_seconds",
    "How long a file's lock was waited for.",
    buckets=_TINY,
).labels()
LOCK_TIMEOUTS: Final = Counter(
    "restante_store_lock_timeouts_total", "Locks that were not had in time: a temporary failure."
)
INDEX_LOADS: Final = Counter(
    "restante_store_index_loads_total",
    "Indexes read whole: loaded, fresh (begun anew) or unknown folder (may be imported).",
    ("origin",),
)
INDEX_LOAD_SECONDS: Final = Histogram(
    "restante_store_index_load_seconds", "Time to read a whole index."
)
_SALVAGES: Final = Counter(
    "restante_store_index_salvages_total",
    "Indexes found incomplete: torn (the last record only), damaged, or lost (new UIDVALIDITY).",
    ("what",),
)
SALVAGE_TORN, SALVAGE_DAMAGED, SALVAGE_LOST = (
    _SALVAGES.labels(what) for what in ("torn", "damaged", "lost")
)
INDEX_REWRITES: Final = Counter(
    "restante_store_index_rewrites_total", "Indexes written anew, most for being too long."
)
_FACTS: Final = Counter(
    "restante_store_cache_facts_total",
    "Facts of messages asked for: hit, or miss, which reads and parses the message.",
    ("result",),
)
FACTS_HIT, FACTS_MISS = _FACTS.labels("hit"), _FACTS.labels("miss")
CACHE_DAMAGED: Final = Counter(
    "restante_store_cache_faults_total", "Cache files that could not be used, each told once."
)
CACHE_BYTES: Final = Gauge("restante_store_cache_memory_bytes", "Memory of facts, about.")
_MAILBOXES: Final = Counter(
    "restante_store_mailbox_opens_total",
    "Mailboxes asked for: shared (open already, or kept warm) or opened.",
    ("result",),
)
MAILBOX_SHARED, MAILBOX_OPENED = _MAILBOXES.labels("shared"), _MAILBOXES.labels("opened")
MAILBOXES: Final = Gauge(
    "restante_store_mailboxes", "Mailboxes in memory: in use, or kept warm.", ("state",)
)
QUOTA_REFUSALS: Final = Counter(
    "restante_store_quota_refusals_total", "Messages that a full mailbox did not take."
)

# Hints
HINTS_SENT: Final = Counter(
    "restante_store_hints_published_total", "Hints sent to other processes (Redis)."
)
HINTS_HEARD: Final = Counter(
    "restante_store_hints_heard_total", "Hints that came for a folder that somebody watches."
)
HINTS_DROPPED: Final = Counter(
    "restante_store_hints_dropped_total", "Hints that could not be sent: a rescan makes up for it."
)
HINT_LAG: Final = Histogram(
    "restante_store_hint_lag_seconds",
    "Time from a change of a folder to its notice in another process.",
)
HINTS_UP: Final = Gauge(
    "restante_store_hints_up_workers",
    "Workers that hear hints now: connected to Redis, or inotify works.",
)
WATCHES: Final = Gauge("restante_store_watched_folders", "Folders that somebody watches now.")
NOTICE: Final = Histogram(
    "restante_store_notice_seconds",
    "Time from a hint to the wake-up of the sessions that watch the folder.",
)
_RESCANS: Final = Counter(
    "restante_store_rescans_total",
    "Slow rescans of watched folders: found what no hint had told, or nothing.",
    ("result",),
)
RESCAN_FOUND, RESCAN_NOTHING = _RESCANS.labels("found"), _RESCANS.labels("nothing")

# Volumes
VOLUME_PRESENT: Final = Gauge(
    "restante_volume_present",
    "1 where the mail volume is there and answers, 0 where not.",
    ("volume",),
    merge="min",
)
VOLUME_SIZE: Final = Gauge(
    "restante_volume_size_bytes", "Size of the mail volume.", ("volume",), merge="max"
)
VOLUME_FREE: Final = Gauge(
    "restante_volume_free_bytes", "Room left for us on the mail volume.", ("volume",), merge="min"
)
VOLUME_INODES: Final = Gauge(
    "restante_volume_inodes",
    "Files that the mail volume can hold; 0: no limit.",
    ("volume",),
    merge="max",
)
VOLUME_FREE_INODES: Final = Gauge(
    "restante_volume_free_inodes", "Files that it can still take.", ("volume",), merge="min"
)
