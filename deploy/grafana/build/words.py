"""Words of the software's own states, as the desk says them, with a colour where one helps."""

from __future__ import annotations

from agents.desk.describe import VERDICT
from deploy.grafana.build.panels import GOOD as GOOD
from deploy.grafana.build.panels import QUIET, severity
from deploy.grafana.build.panels import mapping as mapping
from pipeline.collect.health import HealthState, word
from pipeline.model import AlertStatus, DeliveryStatus, EventStatus
from pipeline.notify.wording import ALERT_STATUS, DELIVERY_STATUS, EVENT_STATUS, KIND, POLARITY

Words = dict[str, tuple[str, str]]

LOW, WARN, BAD = severity()

ALERTS: Words = {
    str(status): (
        text,
        {
            AlertStatus.NOTIFIED: WARN,
            AlertStatus.EXHAUSTED: BAD,
            AlertStatus.EXPIRED: BAD,
            AlertStatus.ACKED: GOOD,
        }.get(status, QUIET),
    )
    for status, text in ALERT_STATUS.items()
}
ALERT_SERIES: Words = {**ALERTS, "new": ("待通知", QUIET)}
EVENTS: Words = {
    str(status): (text, {EventStatus.OPEN: WARN, EventStatus.CALM: GOOD}.get(status, QUIET))
    for status, text in EVENT_STATUS.items()
}
DELIVERIES: Words = {
    str(status): (
        text,
        {DeliveryStatus.CONFIRMED: GOOD, DeliveryStatus.DEAD: BAD, DeliveryStatus.PENDING: WARN}.get(status, QUIET),
    )
    for status, text in DELIVERY_STATUS.items()
}
MESSAGES: Words = {str(kind): (text, "") for kind, text in KIND.items()}
HEALTH: Words = {
    str(state): (
        word(state),
        {
            HealthState.OK: GOOD,
            HealthState.FAILING: WARN,
            HealthState.SILENT: WARN,
            HealthState.BLIND: BAD,
            HealthState.DISABLED: BAD,
            HealthState.OVERDUE: BAD,
        }.get(state, QUIET),
    )
    for state in HealthState
}
POLARITIES: Words = {str(each): (text, "") for each, text in POLARITY.items()}
VERDICTS: Words = {str(verdict): (text, "") for verdict, text in VERDICT.items()}
YES_NO: Words = {"0": ("否", BAD), "1": ("是", GOOD)}
SEVERITY: Words = {"page": ("马上处理", BAD), "warning": ("留意", WARN)}
BREAKER: Words = {"0": ("正常", GOOD), "1": ("正在试探", WARN), "2": ("已熔断", BAD)}


def column(words: Words) -> dict[str, object]:
    """Overrides of a column that holds such words; those without a colour are plain text."""
    return {
        "mappings": [mapping(words)],
        "custom.cellOptions": {"type": "color-text"},
        "color": {"mode": "fixed", "fixedColor": "text"},
    }


def case(expr: str, words: Words) -> str:
    """The same in SQL, where the word names a series."""
    return (
        f"CASE {expr} {' '.join(f'WHEN {quoted(value)} THEN {quoted(text)}' for value, (text, _) in words.items())} "
        f"ELSE {expr} END"
    )


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def named(words: Words) -> dict[str, dict[str, object]]:
    """Overrides of series that are called by such words."""
    return {
        value: {"displayName": text, **({"color": {"mode": "fixed", "fixedColor": color}} if color else {})}
        for value, (text, color) in words.items()
    }
