"""Whether all threads are faster than one alone: of a small network a step takes less time than threads need to meet."""

from __future__ import annotations

TRIAL = 0.005  # seconds: waking a thread takes up to a tenth of it
EVERY = 0.5  # seconds from one measurement to the next: what a network does changes, and so does the machine
SOON = 0.05  # seconds to the next one where steps have begun to take longer
LONGER = 1.3


class Pace:
    """Tells for each stretch of a simulation how many threads to use, from how long other stretches took.

    What is computed does not depend on it: only the time does.
    """

    def __init__(self, threads: int, may_run_alone: bool) -> None:
        self.best = threads
        self.fixed = threads == 1 or not may_run_alone
        self.choices = (threads, 1)
        self.trials: list[int] = []
        self.of_step: dict[int, float] = {}  # seconds of a step, by the number of threads
        self.left = 0.0  # seconds of what is under way

    @property
    def threads(self) -> int:
        """Threads for the next stretch."""
        return self.trials[0] if self.trials else self.best

    def took(self, steps: int, seconds: float) -> None:
        """Write down how long a stretch took, and decide about the next."""
        if self.fixed:
            return
        self.left -= seconds
        if self.trials:
            now = self.trials[0]
            self.of_step[now] = min(self.of_step.get(now, seconds / steps), seconds / steps)
        elif self.of_step and seconds / steps > LONGER * self.of_step[self.best]:
            self.left -= EVERY - SOON  # so that it is over, or will be soon
        if self.left > 0.0:
            return
        if not self.trials:
            self.trials, self.of_step, self.left = [*self.choices] * 2, {}, TRIAL  # the first time finds cold caches
            return
        self.trials.pop(0)
        self.left = TRIAL
        if not self.trials:
            self.best, self.left = min(self.of_step, key=self.of_step.__getitem__), EVERY
