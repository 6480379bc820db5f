"""Alembic's entry: runs on the connection that agents/store/engine.py hands over. There is no alembic.ini."""

from __future__ import annotations

from alembic import context

from agents.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata,
    render_as_batch=True, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
