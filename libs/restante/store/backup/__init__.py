"""Backups of single accounts: what lies where, and what may happen to it.

    TARGET/<domain>/<local part>/lock
    TARGET/<domain>/<local part>/20261122T150000Z.tar       messages that no earlier run has
    TARGET/<domain>/<local part>/20261122T150000Z.json.gz   the account at that moment

Names are percent-encoded where they must be. A run is its manifest (`.json.gz`), which comes last:
tar, sync, rename, manifest, sync, rename. Whatever else a killed run leaves is removed by the next
one. Messages are immutable, so a run only writes those that no earlier run of the same chain has; a
full run begins a new chain, and older chains can then be removed.

The tar is an ordinary one: its members are named like the files of the Maildir, so that `tar xf`
alone gives mail back. The manifest says where each message begins in it, and its SHA-256.

Manifest: gzip, a JSON value a line. First the account, then for each folder its head and as many
rows as that says, then {"end": true}. Texts that were no UTF-8 on disk have surrogate escapes.

Invariants
- What a manifest names is one moment of the whole account: all folders were locked together for
  it (frozen.py). Every message that was acknowledged before the run began is in it.
- Nothing is changed in the account but what any session would change: new mail gets its UID.
- No lock is held while messages are read, but for the last few (save.py).
"""
