"""The arithmetic limit of this machine."""

from dataclasses import asdict, dataclass

import tensorflow as tf

from benchmarks.timing import seconds_of


@dataclass(frozen=True)
class Limit:
    """Floating-point operations a second of one large product, float32."""

    rate: float

    def metrics(self) -> dict[str, float]:
        """As MLflow gets them."""
        return {"limit/gflops": self.rate / 1e9}

    def line(self) -> str:
        """What the terminal says of it."""
        return f"{self.rate / 1e9:.0f} GFLOP/s in one large product"

    def report(self) -> dict:
        """All of it as plain values."""
        return asdict(self)


def measure_limit(size: int, repeats: int) -> Limit:
    """The fastest of several products of two square matrices."""
    a, b = tf.random.normal((size, size)), tf.random.normal((size, size))
    product = tf.function(tf.matmul, jit_compile=False)
    product(a, b)
    best = min(seconds_of(lambda: product(a, b))[0] for _ in range(repeats))
    return Limit(2 * size**3 / best)
