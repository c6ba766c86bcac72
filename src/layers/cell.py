"""What all cells share: their weights, and one step through time in its readable form."""

from collections.abc import Sequence
from numbers import Integral

import keras
from keras import ops


class Cell(keras.layers.Layer):
    """A recurrent unit: one step through time.

    A subclass states its equations in `equations` and names in `sites` the places where the
    input and a state meet weights; everything else is here. The lecture writes
    `W_u [a<t-1>, x<t>] + b_u` for one site `u`, with the state and the input stacked; here, as in
    Keras, `W_u` is kept in two parts:

    - `kernel`, `(input_dim, sites * units)`: the columns that multiply `x<t>`;
    - `recurrent_kernel`, `(units, sites * units)`: those that multiply the state;
    - `bias`, `(sites * units,)`.

    Args:
        units: size of each state.
        use_bias: whether each site adds a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: as in `keras.layers.LSTM`.
        **kwargs: `name`, `dtype` and `trainable`, as for every Keras layer.

    Attributes:
        sites: names of the sites, in the order of their columns in the weights.
        states: names of the states in the lecture; the first is the unit's output.
        peepholes: the sites that also see a state element by element, through the weight
            `peephole`, `(peepholes, units)`.

    Raises:
        ValueError: if `units` is not a positive integer.
    """

    sites: Sequence[str]
    states: Sequence[str]
    peepholes: Sequence[str] = ()

    def __init__(
        self,
        units,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        **kwargs,
    ):
        if isinstance(units, bool) or not isinstance(units, Integral) or units < 1:
            raise ValueError(f"`units`: expected a positive integer, got {units!r}.")
        super().__init__(**kwargs)
        self.units = int(units)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.state_size = [self.units] * len(self.states)
        self.output_size = self.units

    def equations(self, recurrent, *states):
        """The lecture's equations for one step.

        Args:
            recurrent: `recurrent("u", v)` gives `W_u [v, x<t>] + b_u`, `(batch, units)`, for the
                site `u` and whatever `v` meets its weights, mostly the previous state;
                `recurrent("u", v, peephole=c)` adds `p_u * c` to it.
            *states: the states of step t-1, each `(batch, units)`.

        Returns:
            The states of step t, a tuple in the order of `states`.
        """
        raise NotImplementedError

    def gate_biases(self):
        """What each site's bias starts from, beyond `bias_initializer`: a number by site."""
        return {}

    def build(self, input_shape):
        width = len(self.sites) * self.units
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], width),
            initializer=self.kernel_initializer,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, width),
            initializer=self.recurrent_initializer,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(width,), initializer=self._initial_bias)
        self.peephole = None
        if self.peepholes:
            self.peephole = self.add_weight(
                name="peephole",
                shape=(len(self.peepholes), self.units),
                initializer="glorot_uniform",
            )

    def _initial_bias(self, shape, dtype=None):
        bias = self._by_site(self.bias_initializer(shape, dtype=dtype))
        for site, start in self.gate_biases().items():
            bias[site] = ops.full((self.units,), start, dtype)
        return ops.concatenate([bias[site] for site in self.sites])

    def project(self, inputs):
        """`W x + b` for all sites at once: `(..., input_dim)` to `(..., sites * units)`."""
        projected = ops.matmul(inputs, self.kernel)
        return projected if self.bias is None else projected + self.bias

    def call(self, inputs, states):
        """One step: `(batch, input_dim)` and the states to the output and the new states."""
        x = self._by_site(self.project(inputs))
        U = self._by_site(self.recurrent_kernel)

        def recurrent(site, v, peephole=None):
            z = x[site] + ops.matmul(v, U[site])
            return (
                z if peephole is None else z + self.peephole[self.peepholes.index(site)] * peephole
            )

        states = self.equations(recurrent, *states)
        return states[0], list(states)

    def _by_site(self, columns):
        return dict(zip(self.sites, ops.split(columns, len(self.sites), axis=-1), strict=True))

    def get_config(self):
        initializers = {
            name: keras.initializers.serialize(getattr(self, name))
            for name in ("kernel_initializer", "recurrent_initializer", "bias_initializer")
        }
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            **initializers,
        }
