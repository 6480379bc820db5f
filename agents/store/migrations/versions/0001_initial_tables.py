"""Initial tables

Revision: 0001, the first
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('accounts',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('role', sa.String(length=8), nullable=False),
    sa.Column('password', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('disabled', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('alerts',
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('event_version', sa.Integer(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=10), nullable=False),
    sa.Column('due_at', sa.BigInteger(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('event_id')
    )
    op.create_table('audit',
    sa.Column('seq', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('action', sa.String(length=32), nullable=False),
    sa.Column('object', sa.Text(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('seq')
    )
    with op.batch_alter_table('audit', schema=None) as batch_op:
        batch_op.create_index('audit_by_time', ['at'], unique=False)

    op.create_table('books',
    sa.Column('hash', sa.String(length=16), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('book', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('hash')
    )
    with op.batch_alter_table('books', schema=None) as batch_op:
        batch_op.create_index('books_by_time', ['at'], unique=False)

    op.create_table('commands',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('type', sa.String(length=16), nullable=False),
    sa.Column('record', sa.Text(), nullable=False),
    sa.Column('accepted_at', sa.BigInteger(), nullable=False),
    sa.Column('sent_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('commands', schema=None) as batch_op:
        batch_op.create_index('commands_by_time', ['accepted_at'], unique=False)

    op.create_table('dead_letters',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('topic', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.String(length=32), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('replayed_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('dead_letters', schema=None) as batch_op:
        batch_op.create_index('dead_letters_by_time', ['at'], unique=False)

    op.create_table('deliveries',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('escalation_id', sa.String(length=20), nullable=False),
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('person', sa.String(length=64), nullable=False),
    sa.Column('channel', sa.String(length=64), nullable=False),
    sa.Column('status', sa.String(length=10), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('decided_at', sa.BigInteger(), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.Column('suppressed_by', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('deliveries', schema=None) as batch_op:
        batch_op.create_index('deliveries_by_event', ['event_id', 'at'], unique=False)
        batch_op.create_index('deliveries_by_time', ['at'], unique=False)

    op.create_table('escalations',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('escalations', schema=None) as batch_op:
        batch_op.create_index('escalations_by_event', ['event_id', 'at'], unique=False)

    op.create_table('events',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('subject', sa.String(length=64), nullable=False),
    sa.Column('status', sa.String(length=10), nullable=False),
    sa.Column('level', sa.Integer(), nullable=False),
    sa.Column('level_name', sa.String(length=32), nullable=False),
    sa.Column('peak', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('items', sa.Integer(), nullable=False),
    sa.Column('sources', sa.Integer(), nullable=False),
    sa.Column('opened_at', sa.BigInteger(), nullable=False),
    sa.Column('last_item_at', sa.BigInteger(), nullable=False),
    sa.Column('changed_at', sa.BigInteger(), nullable=False),
    sa.Column('head', sa.Text(), nullable=False),
    sa.Column('expired', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.create_index('events_by_change', ['changed_at'], unique=False)
        batch_op.create_index('events_by_number', ['number'], unique=False)
        batch_op.create_index('events_by_status', ['status', 'level'], unique=False)

    op.create_table('items',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('source_id', sa.String(length=64), nullable=False),
    sa.Column('revision', sa.String(length=16), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('published_at', sa.BigInteger(), nullable=True),
    sa.Column('first_seen_at', sa.BigInteger(), nullable=False),
    sa.Column('seen_at', sa.BigInteger(), nullable=False),
    sa.Column('revised_at', sa.BigInteger(), nullable=True),
    sa.Column('backfill', sa.Boolean(), nullable=False),
    sa.Column('expired', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('items', schema=None) as batch_op:
        batch_op.create_index('items_by_source', ['source_id', 'seen_at'], unique=False)
        batch_op.create_index('items_by_time', ['first_seen_at'], unique=False)
        batch_op.create_index('items_to_expire', ['expired', 'seen_at'], unique=False)

    op.create_table('members',
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('item_id', sa.String(length=20), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('row', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('event_id', 'item_id')
    )
    with op.batch_alter_table('members', schema=None) as batch_op:
        batch_op.create_index('members_by_item', ['item_id'], unique=False)

    op.create_table('outbox',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('escalation', sa.Text(), nullable=False),
    sa.Column('person', sa.String(length=64), nullable=False),
    sa.Column('channel', sa.String(length=64), nullable=False),
    sa.Column('status', sa.String(length=10), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('decided_at', sa.BigInteger(), nullable=False),
    sa.Column('next_try_at', sa.BigInteger(), nullable=False),
    sa.Column('lease_until', sa.BigInteger(), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.Column('confirmed_at', sa.BigInteger(), nullable=True),
    sa.Column('reported', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('outbox', schema=None) as batch_op:
        batch_op.create_index('outbox_due', ['status', 'next_try_at'], unique=False)

    op.create_table('revisions',
    sa.Column('item_id', sa.String(length=20), nullable=False),
    sa.Column('revision', sa.String(length=16), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('seen_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('item_id', 'revision')
    )
    op.create_table('scored',
    sa.Column('item_id', sa.String(length=20), nullable=False),
    sa.Column('subject', sa.String(length=64), nullable=False),
    sa.Column('revision', sa.String(length=16), nullable=False),
    sa.Column('origin', sa.String(length=128), nullable=False),
    sa.Column('weight', sa.Float(), nullable=False),
    sa.Column('polarity', sa.String(length=8), nullable=False),
    sa.Column('confidence', sa.Float(), nullable=False),
    sa.Column('question', sa.Boolean(), nullable=False),
    sa.Column('first_seen_at', sa.BigInteger(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('book', sa.String(length=16), nullable=False),
    sa.Column('expired', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('item_id', 'subject')
    )
    with op.batch_alter_table('scored', schema=None) as batch_op:
        batch_op.create_index('scored_by_subject', ['subject', 'first_seen_at'], unique=False)
        batch_op.create_index('scored_to_expire', ['expired', 'first_seen_at'], unique=False)

    op.create_table('sessions',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('csrf', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('sources',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('polled_at', sa.BigInteger(), nullable=False),
    sa.Column('next_poll_at', sa.BigInteger(), nullable=False),
    sa.Column('outcome', sa.String(length=32), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('succeeded_at', sa.BigInteger(), nullable=True),
    sa.Column('new_item_at', sa.BigInteger(), nullable=True),
    sa.Column('backfilled', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('timeline',
    sa.Column('seq', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('ref', sa.String(length=64), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('seq'),
    sa.UniqueConstraint('event_id', 'ref', name='timeline_once')
    )
    with op.batch_alter_table('timeline', schema=None) as batch_op:
        batch_op.create_index('timeline_by_event', ['event_id', 'at'], unique=False)

    op.create_table('tokens',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=True),
    sa.Column('revoked_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )


def downgrade() -> None:
    op.drop_table('tokens')
    with op.batch_alter_table('timeline', schema=None) as batch_op:
        batch_op.drop_index('timeline_by_event')

    op.drop_table('timeline')
    op.drop_table('sources')
    op.drop_table('sessions')
    with op.batch_alter_table('scored', schema=None) as batch_op:
        batch_op.drop_index('scored_to_expire')
        batch_op.drop_index('scored_by_subject')

    op.drop_table('scored')
    op.drop_table('revisions')
    with op.batch_alter_table('outbox', schema=None) as batch_op:
        batch_op.drop_index('outbox_due')

    op.drop_table('outbox')
    with op.batch_alter_table('members', schema=None) as batch_op:
        batch_op.drop_index('members_by_item')

    op.drop_table('members')
    with op.batch_alter_table('items', schema=None) as batch_op:
        batch_op.drop_index('items_to_expire')
        batch_op.drop_index('items_by_time')
        batch_op.drop_index('items_by_source')

    op.drop_table('items')
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.drop_index('events_by_status')
        batch_op.drop_index('events_by_number')
        batch_op.drop_index('events_by_change')

    op.drop_table('events')
    with op.batch_alter_table('escalations', schema=None) as batch_op:
        batch_op.drop_index('escalations_by_event')

    op.drop_table('escalations')
    with op.batch_alter_table('deliveries', schema=None) as batch_op:
        batch_op.drop_index('deliveries_by_time')
        batch_op.drop_index('deliveries_by_event')

    op.drop_table('deliveries')
    with op.batch_alter_table('dead_letters', schema=None) as batch_op:
        batch_op.drop_index('dead_letters_by_time')

    op.drop_table('dead_letters')
    with op.batch_alter_table('commands', schema=None) as batch_op:
        batch_op.drop_index('commands_by_time')

    op.drop_table('commands')
    with op.batch_alter_table('books', schema=None) as batch_op:
        batch_op.drop_index('books_by_time')

    op.drop_table('books')
    with op.batch_alter_table('audit', schema=None) as batch_op:
        batch_op.drop_index('audit_by_time')

    op.drop_table('audit')
    op.drop_table('alerts')
    op.drop_table('accounts')
