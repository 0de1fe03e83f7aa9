"""Stage in progress: its share done, its rate and its time left."""

from __future__ import annotations

from collections import deque

# Below this share of the work its rate is that of preparations, and says nothing of the rest.
LEAST_SHARE = 0.02


class Stage:
    """A stage in progress.

    The rate is that of the last few marks, so that work found done at the beginning, as in a
    resumed recording, does not count for long.
    """

    def __init__(self, name: str, unit: str, now: float) -> None:
        self.name, self.unit, self.began = name, unit, now
        self.done, self.total = 0, 0
        self._marks: deque[tuple[float, int]] = deque([(now, 0)], maxlen=5)

    def advance(self, done: int, total: int) -> None:
        """Set the work done and the work in all."""
        self.done, self.total = done, total

    def mark(self, now: float) -> None:
        """Remember the present state for later rates."""
        self._marks.append((now, self.done))

    def rate(self, now: float) -> float | None:
        """Work per second; None before there is any."""
        for time, done in (self._marks[0], (self.began, 0)):
            if self.done > done and now > time:
                return (self.done - done) / (now - time)
        return None

    def seconds_left(self, now: float) -> float | None:
        """Expected seconds until the end; None before `LEAST_SHARE` of the work is done."""
        rate = self.rate(now)
        if rate is None or self.done < LEAST_SHARE * self.total:
            return None
        return (self.total - self.done) / rate


def clock_time(seconds: float) -> str:
    """Write seconds as `m:ss` or `h:mm:ss`.

    >>> clock_time(75), clock_time(3661.4)
    ('1:15', '1:01:01')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def rounded(rate: float) -> str:
    """Write a rate with about three digits.

    >>> rounded(1234.5), rounded(12.345), rounded(0.01234)
    ('1234', '12.3', '0.0123')
    """
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"
