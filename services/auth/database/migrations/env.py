"""What alembic runs around the revisions, on the connection that migrate.py gives it.

The caller holds the lock and the transaction.
"""

from alembic import context

from services.auth.database.schema import metadata, revision

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=revision.name,
)
context.run_migrations()
