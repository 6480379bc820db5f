"""Runs of drills

Revision: 0007, after 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('drills',
    sa.Column('run', sa.String(length=20), nullable=False),
    sa.Column('drill', sa.String(length=64), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('by', sa.String(length=64), nullable=False),
    sa.Column('began_at', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.Column('script', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('run')
    )
    op.create_index('drills_by_time', 'drills', ['began_at'], unique=False)


def downgrade() -> None:
    op.drop_index('drills_by_time', table_name='drills')
    op.drop_table('drills')
