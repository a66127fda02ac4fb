"""What the clocks of a time zone show: how far they are ahead of UTC, for many instants at once."""

from __future__ import annotations

import datetime
import re
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from twolane._units import DAY_NS, S_NS
from twolane.errors import SerializationError

DAY = DAY_NS // S_NS
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# Seconds and days that datetime reaches in any zone.
FIRST_DAY, LAST_DAY = -719_161, 2_932_895
FIXED = re.compile(r"([+-])(\d\d):?(\d\d)?")
UTC = ("UTC", "Z", "Etc/UTC", "GMT", "Etc/GMT", "utc")


def named(name: str) -> datetime.tzinfo:
    """Return the zone of a name as Arrow's types have it: one of the zone database, or an offset such as ``+05:30``."""
    if name in UTC:
        return datetime.UTC
    fixed = FIXED.fullmatch(name)
    if fixed is not None:
        sign, hours, minutes = fixed.groups()
        ahead = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
        return datetime.timezone(-ahead if sign == "-" else ahead)
    return ZoneInfo(name)


def zone_of(zone: Any) -> datetime.tzinfo:
    """Return the zone of a name, or itself.

    Raises
    ------
    SerializationError
        If the zone database does not have the name.
    """
    if isinstance(zone, datetime.tzinfo):
        return zone
    try:
        return named(zone)
    except (ValueError, KeyError, OSError) as error:
        raise SerializationError(
            f"expected a time zone that is known here, got {zone!r} (the package tzdata has the zone database)"
        ) from error


def is_utc(zone: Any) -> bool:
    """Return whether its clocks show UTC at any time."""
    return zone_of(zone) is datetime.UTC or str(zone) in UTC


def seconds_ahead(ticks: NDArray[np.int64], tick_ns: int, zone: Any) -> NDArray[np.int64] | None:
    """Return by how many seconds the zone's clocks are ahead of UTC at each instant.

    None where one lies beyond the years of `datetime`. A zone is asked twice for each day there is, and for each
    second of the days on which its clocks are changed.
    """
    zone = zone_of(zone)
    if isinstance(zone, datetime.timezone):
        return np.full(len(ticks), ahead_at(0, zone), np.int64)
    seconds = ticks // (S_NS // tick_ns)
    days = seconds // DAY
    if not len(days):
        return days
    first = int(days.min())
    if first < FIRST_DAY or int(days.max()) > LAST_DAY:
        return None
    days -= first
    known = np.zeros(int(days.max()) + 1, np.int64)
    known[days] = 1
    changed = np.zeros(len(known), bool)
    for day in np.flatnonzero(known).tolist():
        start = (first + day) * DAY
        known[day] = ahead_at(start, zone)
        changed[day] = known[day] != ahead_at(start + DAY - 1, zone)
    made = known[days]
    if changed.any():
        rare = np.flatnonzero(changed[days])
        each, places = np.unique(seconds[rare], return_inverse=True)
        made[rare] = np.array([ahead_at(second, zone) for second in each.tolist()], np.int64)[places]
    return made


def ahead_at(second: int, zone: datetime.tzinfo) -> int:
    """Return the same at one second since the epoch."""
    ahead = (EPOCH + datetime.timedelta(seconds=second)).astimezone(zone).utcoffset() or datetime.timedelta(0)
    return ahead.days * DAY + ahead.seconds


class Instant(datetime.datetime):
    """A datetime with the nanoseconds that a column's items have beyond its microseconds."""

    nanosecond = 0

    def replace(self, *args: Any, **changes: Any) -> Instant:
        """Keep the nanoseconds."""
        return self._with_nanosecond(super().replace(*args, **changes))

    def __sub__(self, other: Any) -> Any:
        """Keep the nanoseconds."""
        made = super().__sub__(other)
        return self._with_nanosecond(made) if isinstance(made, Instant) else made

    def to_datetime64(self) -> np.datetime64:
        """Return what the clock shows, as pandas.Timestamp does."""
        plain = self.replace(tzinfo=None)
        return np.datetime64(plain, "us").astype("M8[ns]") + np.timedelta64(self.nanosecond, "ns")  # type: ignore[no-any-return]

    def _with_nanosecond(self, made: Any) -> Instant:
        made.nanosecond = self.nanosecond
        return made  # type: ignore[no-any-return]


def instant_of(ticks: int, tick_ns: int, zone: Any) -> datetime.datetime | None:
    """Return the datetime of one item of a column; None beyond the years of `datetime`."""
    micros, nanosecond = divmod(ticks * tick_ns, 1000)
    try:
        value = (EPOCH + datetime.timedelta(microseconds=micros)).astimezone(zone_of(zone))
    except OverflowError:
        return None
    if not nanosecond:
        return value
    made = Instant(*value.timetuple()[:6], value.microsecond, value.tzinfo, fold=value.fold)
    made.nanosecond = nanosecond
    return made
