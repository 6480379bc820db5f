"""Counts of items, reports of people, what a source's health is judged by

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('counts',
    sa.Column('item_id', sa.String(length=20), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('comments', sa.BigInteger(), nullable=True),
    sa.Column('forwards', sa.BigInteger(), nullable=True),
    sa.Column('likes', sa.BigInteger(), nullable=True),
    sa.Column('views', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('item_id', 'at')
    )
    op.create_index('counts_by_time', 'counts', ['at'], unique=False)

    # ADD COLUMN with a default: no table is copied, however many items it has.
    op.add_column('items', sa.Column('html', sa.Text(), server_default='', nullable=False))
    op.add_column('items', sa.Column('ref', sa.String(length=64), server_default='', nullable=False))
    op.add_column('items', sa.Column('urgent', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column('sources', sa.Column('kind', sa.String(length=32), server_default='', nullable=False))
    op.add_column('sources', sa.Column('failed_since', sa.BigInteger(), nullable=True))
    op.add_column('sources', sa.Column('state', sa.Text(), server_default='', nullable=False))


def downgrade() -> None:
    for name in ('state', 'failed_since', 'kind'):
        op.drop_column('sources', name)
    for name in ('urgent', 'ref', 'html'):
        op.drop_column('items', name)
    op.drop_index('counts_by_time', table_name='counts')
    op.drop_table('counts')
