"""What other mail servers left in a Maildir: UIDs, UIDLs and keywords, read once.

The first opening of a folder without our index calls `import_folder`. Nothing here writes, and
nothing here fails: a damaged file yields what could be read of it, a missing one nothing.

Where Courier's and Dovecot's lists both exist, the one that was written last gives the UIDs: it
belongs to the server that clients saw last.

Bases are message names without ":2," and what follows; all numbers that are returned are in
IMAP's range (1..2^32-1). UIDs are unique and below `uidnext`.
"""

from restante.store.importers.folder import Imported, import_folder
from restante.store.importers.uids import UidList

__all__ = ["Imported", "UidList", "import_folder"]
