"""A unit outside the package: a state that leaks, a<t> = leak * a<t-1> + (1 - leak) * candidate."""

import keras

from unrolled.layers import Cell, Recurrent


@keras.saving.register_keras_serializable("own")
class LeakyCell(Cell):
    sites = states = ("a",)

    def __init__(self, units, *, leak=0.5, **kwargs):
        super().__init__(units, **kwargs)
        self.leak = leak

    def equations(self, recurrent, a):
        return (self.leak * a + (1 - self.leak) * self.activation(recurrent("a", a)),)


@keras.saving.register_keras_serializable("own")
class Leaky(Recurrent):
    cell_class = LeakyCell
