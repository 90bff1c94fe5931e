"""Dates and times in the admin: 2026-11-22 22:47, as in its lists."""

DATE_FORMAT = SHORT_DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "Y-m-d H:i"
TIME_FORMAT = "H:i"
YEAR_MONTH_FORMAT, MONTH_DAY_FORMAT = "Y-m", "m-d"
