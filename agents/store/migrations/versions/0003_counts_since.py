"""Since when nobody had looked when counts were read

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('counts', sa.Column('since', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column('counts', 'since')
