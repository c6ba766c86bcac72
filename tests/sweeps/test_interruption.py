"""Ctrl-C, once and twice."""

import signal
import subprocess
import sys

import pytest

WAITING = """
import time
from unrolled.sweeps import interruption

interruption.watch()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopping", flush=True)
    {then}
"""


@pytest.mark.parametrize(
    ("signals", "then", "code"), [(1, "raise SystemExit(7)", 7), (2, "time.sleep(60)", 130)]
)
def test_the_first_signal_interrupts_and_the_second_ends_the_process(signals, then, code):
    command = [sys.executable, "-c", WAITING.format(then=then)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for expected in ["ready", "stopping"][:signals]:
            assert process.stdout.readline().strip() == expected
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == code
