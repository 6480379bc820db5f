"""Response clocks, statements, silences, heartbeats; what is of a drill, and what a silence held back

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

_DRILLS = ('items', 'events', 'escalations')


def upgrade() -> None:
    # ADD COLUMN with a default: no table is copied, however many rows it has.
    for table in _DRILLS:
        op.add_column(table, sa.Column('drill', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column('escalations', sa.Column('suppressed_by', sa.Text(), server_default='', nullable=False))
    op.create_table('clocks',
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('open', sa.Boolean(), nullable=False),
    sa.Column('next_due_at', sa.BigInteger(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('event_id')
    )
    op.create_index('clocks_open', 'clocks', ['open', 'next_due_at'], unique=False)
    op.create_table('statements',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('by', sa.String(length=64), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('clocks', sa.Text(), nullable=False),
    sa.Column('rejected', sa.Boolean(), nullable=False),
    sa.Column('item_id', sa.String(length=20), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('statements_by_event', 'statements', ['event_id', 'at'], unique=False)
    op.create_index('statements_to_expire', 'statements', ['item_id', 'at'], unique=False)
    op.create_table('silences',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('ends_at', sa.BigInteger(), nullable=False),
    sa.Column('expired_at', sa.BigInteger(), nullable=True),
    sa.Column('record', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('silences_by_end', 'silences', ['ends_at'], unique=False)
    op.create_table('heartbeats',
    sa.Column('stage', sa.String(length=16), nullable=False),
    sa.Column('partition', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('seen_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('stage', 'partition')
    )


def downgrade() -> None:
    for name in ('heartbeats', 'silences', 'statements', 'clocks'):
        op.drop_table(name)                             # and their indexes
    op.drop_column('escalations', 'suppressed_by')
    for table in _DRILLS:
        op.drop_column(table, 'drill')
