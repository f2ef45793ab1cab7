"""Whether all threads are faster than one alone: of a small network a step takes less time than threads need to meet."""

from __future__ import annotations

TRIAL = 500  # steps
EVERY = 50_000  # steps from one measurement to the next: what a network does changes, and so does the machine
MOST_NEURONS = 50_000  # with more, all threads are faster: nothing is tried


class Pace:
    """Tells for each stretch of a simulation how many threads to use and how many steps at most, from how long others took.

    What is computed does not depend on it: only the time does.
    """

    def __init__(self, threads: int, neurons: int) -> None:
        self.threads = self.best = threads
        self.fixed = threads == 1 or neurons > MOST_NEURONS
        self.trials: list[int] = []
        self.seconds: dict[int, float] = {}  # of a step, by the number of threads
        self.left = 0

    def next(self, steps: int) -> tuple[int, int]:
        """Threads and steps of the next stretch, of `steps` at most."""
        if self.fixed:
            return self.threads, steps
        if self.left <= 0 and not self.trials:
            self.trials, self.seconds = [self.threads, 1] * 2, {}  # twice, because the first time finds cold caches
        if self.trials:
            return self.trials[0], min(steps, TRIAL)
        return self.best, min(steps, self.left)

    def took(self, threads: int, steps: int, seconds: float) -> None:
        """Write down how long a stretch took."""
        if self.fixed:
            return
        if not self.trials:
            self.left -= steps
            return
        self.trials.pop(0)
        self.seconds[threads] = min(self.seconds.get(threads, seconds / steps), seconds / steps)
        if not self.trials:
            self.best, self.left = min(self.seconds, key=self.seconds.__getitem__), EVERY
