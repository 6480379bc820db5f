"""What runs in shadow beside what is live; people's verdicts; since when a rule book is known

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

_SUBJECTS = ('scored', 'events')


def upgrade() -> None:
    op.create_table('verdicts',
    sa.Column('id', sa.String(length=20), nullable=False),
    sa.Column('subject', sa.String(length=65), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('by', sa.String(length=64), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('event_id', sa.String(length=20), nullable=False),
    sa.Column('item_id', sa.String(length=20), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('book', sa.String(length=16), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('verdicts_by_event', 'verdicts', ['event_id'], unique=False)
    op.create_index('verdicts_by_item', 'verdicts', ['item_id'], unique=False)
    op.create_index('verdicts_by_subject', 'verdicts', ['subject', 'at'], unique=False)

    # ADD COLUMN with a default: no table is copied, however many rows it has.
    op.add_column('events', sa.Column('shadow', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index('events_by_subject', 'events', ['subject', 'opened_at', 'number'], unique=False)
    op.add_column('escalations', sa.Column('shadow', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column('escalations', sa.Column('first', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index('escalations_by_time', 'escalations', ['at'], unique=False)
    # A message without step and repeat in its JSON is its alert's first; of expired ones that is not known any more.
    op.execute("""UPDATE escalations SET "first" = true WHERE kind = 'page' AND detail <> ''
                  AND detail NOT LIKE '%"step":%' AND detail NOT LIKE '%"repeat":%'""")
    op.add_column('books', sa.Column('first_at', sa.BigInteger(), server_default='0', nullable=False))
    op.add_column('books', sa.Column('shadow_at', sa.BigInteger(), server_default='0', nullable=False))
    op.execute('UPDATE books SET first_at = at')
    if op.get_context().dialect.name == 'postgresql':       # SQLite minds no lengths, and would copy the table
        for table in _SUBJECTS:
            op.alter_column(table, 'subject', type_=sa.String(length=65), existing_type=sa.String(length=64),
                            existing_nullable=False)


def downgrade() -> None:
    for name in ('shadow_at', 'first_at'):
        op.drop_column('books', name)
    op.drop_index('escalations_by_time', table_name='escalations')
    for name in ('first', 'shadow'):
        op.drop_column('escalations', name)
    op.drop_index('events_by_subject', table_name='events')
    op.drop_column('events', 'shadow')
    for name in ('verdicts_by_subject', 'verdicts_by_item', 'verdicts_by_event'):
        op.drop_index(name, table_name='verdicts')
    op.drop_table('verdicts')
