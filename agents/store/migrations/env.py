"""Alembic's entry: runs on the connection that agents/store/engine.py hands over. There is no alembic.ini."""

from __future__ import annotations

from alembic import context

from agents.store import views
from agents.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
with context.begin_transaction():
    found, wanted = context.get_context().get_current_revision(), context.get_revision_argument()
    if found != wanted or not views.current(connection):        # made anew only then: who reads them waits for it
        views.drop(connection)
        context.run_migrations()
        if context.get_context().get_current_revision() == context.get_head_revision():
            views.create(connection)
            views.grant(connection)
    else:
        views.grant(connection)
