"""Which days are worked in China: public holidays and the weekends worked in their place.

The State Council announces a year's in the autumn before; chinesecalendar has them as a table. A year that the table
does not have goes by plain weekdays, and `wenxun rules check` says so.
"""

from __future__ import annotations

import datetime as dt

from chinese_calendar.constants import holidays, workdays

_FRIDAY = 5


def workday(day: dt.date) -> bool:
    """Whether offices work on this day."""
    if day in workdays:
        return True
    return day.isoweekday() <= _FRIDAY and day not in holidays


def announced(year: int) -> bool:
    """Whether this year's holidays are known: National Day is one in every year that is."""
    return dt.date(year, 10, 1) in holidays
