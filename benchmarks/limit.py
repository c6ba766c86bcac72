"""The arithmetic limit of this machine."""

from dataclasses import asdict, dataclass

import tensorflow as tf

from benchmarks.timing import seconds_of


@dataclass(frozen=True)
class Limit:
    """Floating-point operations per second of one large product, in float32."""

    rate: float

    def metrics(self) -> dict[str, float]:
        """The metrics that are logged to MLflow."""
        return {"limit/gflops": self.rate / 1e9}

    def line(self) -> str:
        """One line for the terminal."""
        return f"{self.rate / 1e9:.0f} GFLOP/s in one large product"

    def report(self) -> dict:
        """All fields as plain values."""
        return asdict(self)


def measure_limit(size: int, repeats: int) -> Limit:
    """The fastest of several products of two square matrices."""
    a, b = tf.random.normal((size, size)), tf.random.normal((size, size))
    product = tf.function(tf.matmul, jit_compile=False)
    product(a, b)
    best = min(seconds_of(lambda: product(a, b))[0] for _ in range(repeats))
    return Limit(2 * size**3 / best)
