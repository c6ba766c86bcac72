"""Two functions, timed in turn."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import tensorflow as tf


class Two(NamedTuple):
    """A value for a unit of ours, and the same for its peer."""

    ours: Any
    peer: Any


class Timing(NamedTuple):
    """Seconds of a unit and of its peer.

    Attributes:
        first: of the first call, which traces and compiles.
        steady: a list for each, of later calls, which do neither.
    """

    first: Two
    steady: Two

    @property
    def seconds(self) -> Two:
        """The medians of the steady calls."""
        return Two(*map(median, self.steady))

    @property
    def milliseconds(self) -> Two:
        """The same in milliseconds."""
        return Two(*(1000 * seconds for seconds in self.seconds))

    @property
    def ratio(self) -> float:
        """The peer's time over ours: above 1 ours is faster."""
        return self.seconds.peer / self.seconds.ours


def seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds until the result of a call is computed, and the result."""
    start = time.perf_counter()
    result = call()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - start, result


def first_calls(calls: Two) -> tuple[Two, Two]:
    """The seconds of the first call of each, and what they returned."""
    done = [seconds_of(call) for call in calls]
    return Two(*(seconds for seconds, _ in done)), Two(*(result for _, result in done))


def in_turn(calls: Two, repeats: int) -> Two:
    """The seconds of `repeats` calls of each, in turn; the two take turns at going first.

    So whatever slows the machine down for a while affects both.
    """
    steady = Two([], [])
    for repeat in range(repeats):
        for number in (0, 1) if repeat % 2 == 0 else (1, 0):
            steady[number].append(seconds_of(calls[number])[0])
    return steady
