"""Alembic's entry: migrate over the connection, and in the transaction, that the store hands in."""

from alembic import context

from edgewright.store.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
