"""What a message is about, why it was held back and where it goes next; the state that processes share of a channel

Revision: 0005, after 0004
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

_TEXTS = (('escalation_id', sa.String(length=20)), ('event_id', sa.String(length=20)), ('alert_id', sa.String(length=20)),
          ('kind', sa.String(length=8)), ('suppressed_by', sa.Text()), ('next_channels', sa.Text()))
_INDEXES = (('outbox_by_alert', ['event_id', 'status']), ('outbox_by_escalation', ['escalation_id']),
            ('outbox_by_time', ['decided_at']), ('outbox_by_channel', ['channel', 'status', 'next_try_at']))
_CHUNK = 500


def upgrade() -> None:
    # ADD COLUMN with a default: no table is copied, however many rows it has.
    for name, kind in _TEXTS:
        op.add_column('outbox', sa.Column(name, kind, server_default='', nullable=False))
    op.add_column('outbox', sa.Column('level', sa.Integer(), server_default='0', nullable=False))
    op.add_column('outbox', sa.Column('place', sa.BigInteger(), server_default='-1', nullable=False))
    op.add_column('outbox', sa.Column('drill', sa.Boolean(), server_default=sa.false(), nullable=False))
    if not op.get_context().as_sql:
        _fill(op.get_bind())
    for name, columns in _INDEXES:
        op.create_index(name, 'outbox', columns, unique=False)
    op.create_table('channel_state',
    sa.Column('channel', sa.String(length=64), nullable=False),
    sa.Column('version', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('failures', sa.Integer(), server_default='0', nullable=False),
    sa.Column('opened', sa.Integer(), server_default='0', nullable=False),
    sa.Column('open_until', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('trial_until', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('tokens', sa.Float(), server_default='0', nullable=False),
    sa.Column('refilled_at', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('error', sa.Text(), server_default='', nullable=False),
    sa.PrimaryKeyConstraint('channel')
    )


def downgrade() -> None:
    op.drop_table('channel_state')
    for name, _ in _INDEXES:
        op.drop_index(name, table_name='outbox')
    for name in ('drill', 'place', 'level', *(name for name, _ in _TEXTS)):
        op.drop_column('outbox', name)


def _fill(connection: Any) -> None:
    """The new columns of rows that are there, from their escalation; one that cannot be read keeps them empty."""
    last = ''
    while True:
        rows = connection.execute(
            sa.text('SELECT id, escalation FROM outbox WHERE id > :last ORDER BY id LIMIT :some'),
            {'last': last, 'some': _CHUNK}).all()
        if not rows:
            return
        connection.execute(
            sa.text('UPDATE outbox SET escalation_id = :escalation_id, event_id = :event_id, alert_id = :alert_id, '
                    'kind = :kind, level = :level WHERE id = :row'),
            [{'row': ident, **_about(text)} for ident, text in rows])
        last = rows[-1][0]


def _about(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    level = found.get('level', 0)
    words = {'escalation_id': 'id', 'event_id': 'event_id', 'alert_id': 'alert_id', 'kind': 'kind'}
    return {**{name: str(found.get(key, ''))[:20] for name, key in words.items()},
            'level': level if isinstance(level, int) else 0}
