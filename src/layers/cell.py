"""What all cells share: options, weights, dropout, and one step through time in readable form."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

from unrolled.layers.mark import NAME, MarkedWeights

_WRITTEN_BY = {
    "activation": keras.activations,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}


class Cell(MarkedWeights, keras.layers.Layer, DropoutRNNCell):
    """A recurrent unit: one step through time.

    A subclass states its equations in `equations` and names in `sites` the places where the
    input and a state meet weights; everything else is here. The lecture writes
    `W_u [a<t-1>, x<t>] + b_u` for one site `u`, with the state and the input stacked; here, as in
    Keras, `W_u` is kept in two parts:

    - `kernel`, `(input_dim, sites * units)`: the columns that multiply `x<t>`;
    - `recurrent_kernel`, `(units, sites * units)`: those that multiply the state;
    - `bias`, `(sites * units,)`.

    A site that lacks a part, as the attributes below say, has no columns in that weight.

    Keras loads weights by their number and shapes. So that it does not exchange weights with a
    layer that reads them otherwise, a unit has a last variable, `unlike_keras`, `(0,)`, unless
    `weights_as_in_keras`, or peepholes, tell them apart.

    Args:
        units: size of each state.
        activation: g, the lecture's tanh.
        use_bias: whether each site adds a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: what the weights start from.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on them. The
            recurrent one is for peephole weights as well.
        kernel_constraint, recurrent_constraint, bias_constraint: what they must keep to, likewise.
        dropout: share of `x<t>` dropped in training, the same elements at every step.
        recurrent_dropout: share of the state dropped in training where it meets weights, the same
            elements at every step, others for every site.
        seed: of the dropout.
        **kwargs: `name`, `dtype` and `trainable`, as for every Keras layer.

    Attributes:
        sites: names of the sites, in the order of their columns in the weights.
        input_only: the sites that no state meets.
        state_only: the sites that the input does not meet.
        input_itself: the sites to which `x<t>` comes without weights, each with the function that
            it comes through.
        unbiased: the sites without a bias.
        peephole_sites: the sites that also see a state element by element, through the weight
            `peephole`, `(peephole_sites, units)`, which starts as Glorot & Bengio's uniform.
        states: names of the states in the lecture; the first is the unit's output.
        refused: options that have no meaning for the unit, and why.

    Raises:
        ValueError: for a value that an option cannot have, or an option that is refused.
    """

    sites: Sequence[str]
    states: Sequence[str]
    input_only: Sequence[str] = ()
    state_only: Sequence[str] = ()
    input_itself: Mapping[str, Callable] = {}
    unbiased: Sequence[str] = ()
    peephole_sites: Sequence[str] = ()
    refused: Mapping[str, str] = {}
    implementation = 2

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        if isinstance(units, bool) or not isinstance(units, Integral) or units < 1:
            raise ValueError(f"`units`: expected a positive integer, got {units!r}.")
        if not isinstance(use_bias, bool | np.bool_):
            raise ValueError(f"`use_bias`: expected True or False, got {use_bias!r}.")
        super().__init__(**kwargs)
        self.units = int(units)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.recurrent_constraint = keras.constraints.get(recurrent_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.dropout = _share("dropout", dropout)
        self.recurrent_dropout = _share("recurrent_dropout", recurrent_dropout)
        self.seed = seed
        # Only where it is used: making one draws from the generator of the initial weights.
        uses_seed = self.dropout or self.recurrent_dropout
        self.seed_generator = keras.random.SeedGenerator(seed) if uses_seed else None
        self.output_size = self.units

    def equations(self, recurrent, *states):
        """The lecture's equations for one step.

        Args:
            recurrent: `recurrent("u", v)` gives `W_u [v, x<t>] + b_u`, `(batch, units)`, for the
                site `u` and whatever `v` meets its weights, mostly the previous state;
                `recurrent("u", v, peephole=c)` adds `p_u * c` to it. An input-only site has no v.
            *states: the states of step t-1, each `(batch, units)`.

        Returns:
            The states of step t, a tuple in the order of `states`.

        A layer runs them on the way back once more. So they may not draw random numbers, and use no
        weights but those of sites and peepholes; `keras.layers.RNN` over the cell takes any.
        """
        raise NotImplementedError

    def gate_biases(self):
        """What a site's bias starts from instead of `bias_initializer`, by site."""
        return {}

    @property
    def weights_as_in_keras(self):
        """Whether Keras has this unit, with the same weights in the same order."""
        return False

    @property
    def state_size(self):
        """Size of the state, or a list of sizes for several, as Keras's cells have it."""
        return self.units if len(self.states) == 1 else [self.units] * len(self.states)

    def get_initial_state(self, batch_size=None):
        """A list of zeros, `(batch_size, units)`, one tensor for each state."""
        return [ops.zeros((batch_size, self.units), self.compute_dtype) for _ in self.states]

    @property
    def recurrent_sites(self):
        """The sites with columns in the recurrent kernel, in their order."""
        return [site for site in self.sites if site not in self.input_only]

    def build(self, input_shape):
        input_dim = input_shape[-1]
        if self.input_itself and input_dim != self.units:
            raise ValueError(
                f"{type(self).__name__}: x<t> comes in without weights, which takes as many inputs "
                f"as units; expected {self.units}, got {input_dim}. Set `units` to {input_dim}, or "
                f"make what comes before, such as the embedding, of size {self.units}."
            )
        # First: it decides under which names a checkpoint has the others. Among `weights` it comes
        # last, as those that are not trained do.
        if not self.weights_as_in_keras and not self.peephole_sites:
            self.unlike_keras = self.add_weight(
                name=NAME, shape=(0,), initializer="zeros", trainable=False
            )
        self._kernel_sites = self._without(self.state_only, self.input_itself)
        self._bias_sites = self._without(self.unbiased)
        self.kernel = self._weight("kernel", (input_dim, len(self._kernel_sites) * self.units))
        width = len(self.recurrent_sites) * self.units
        self.recurrent_kernel = self._weight("recurrent_kernel", (self.units, width))
        self.bias = None
        if self.use_bias:
            width = len(self._bias_sites) * self.units
            self.bias = self._weight("bias", (width,), self._initial_bias)
        rows = len(self.peephole_sites)
        self.peephole = self._weight("peephole", (rows, self.units), "glorot_uniform")

    def _without(self, *absent):
        return [site for site in self.sites if not any(site in sites for sites in absent)]

    def _weight(self, name, shape, initializer=None):
        """A weight with what the options ask of it; None if it has no elements."""
        if 0 in shape:
            return None
        kind = {"recurrent_kernel": "recurrent", "peephole": "recurrent"}.get(name, name)
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer or getattr(self, f"{kind}_initializer"),
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
        )

    def _initial_bias(self, shape, dtype=None):
        starts = self.by_site(self.bias_initializer(shape, dtype=dtype), self._bias_sites)
        for site, start in self.gate_biases().items():
            if site in starts:
                starts[site] = ops.broadcast_to(ops.cast(start, dtype), (self.units,))
        return ops.concatenate(list(starts.values()))

    def project(self, inputs, mask=None, kernel=None, bias=None):
        """`W x + b` for all sites at once: `(..., input_dim)` to `(..., sites * units)`.

        `mask` drops elements of the input: one `(batch, input_dim)` for all sites, or one by site.
        `kernel` and `bias` are the cell's own unless given.
        """
        inputs = ops.cast(inputs, self.compute_dtype)  # Keras's layers take whole numbers as well.
        kernel = self.kernel if kernel is None else kernel
        bias = self.bias if bias is None else bias
        if isinstance(mask, dict) or self.state_only or self.input_itself or self.unbiased:
            W = self.by_site(kernel, self._kernel_sites)
            b = self.by_site(bias, self._bias_sites) if self.use_bias else {}
            masks = mask if isinstance(mask, dict) else dict.fromkeys(self.sites, mask)
            parts = [self._project_to(site, inputs, masks.get(site), W, b) for site in self.sites]
            return ops.concatenate(parts, axis=-1)
        return _product(inputs if mask is None else inputs * mask, kernel, bias)

    def _project_to(self, site, inputs, mask, W, b):
        z = inputs if mask is None else inputs * mask
        if site in self.state_only:
            z = ops.zeros((*ops.shape(inputs)[:-1], self.units), inputs.dtype)
        elif site in self.input_itself:
            z = self.input_itself[site](z)
        else:
            return _product(z, W[site], b.get(site))
        return z + b[site] if site in b else z

    def call(self, inputs, states, training=False):
        """One step: `(batch, input_dim)` and the states to the output and the new states.

        A unit with one state takes it with or without a list around it, and gives it back so.

        Raises:
            ValueError: for another number of states than the unit has.
        """
        in_list = isinstance(states, list | tuple)
        states = list(states) if in_list else [states]
        if len(states) != len(self.states):
            raise ValueError(
                f"`states`: expected {len(self.states)} ({', '.join(self.states)}), got "
                f"{len(states)}."
            )
        x = self.by_site(self.project(inputs, self.input_mask(inputs, training)))
        U = self.by_site(self.recurrent_kernel, self.recurrent_sites)
        masks = self.state_masks(states[0], training)

        def recurrent(site, v=None, peephole=None):
            z = x[site]
            if v is not None:
                z = z + ops.matmul(v * masks[site] if masks else v, U[site])
            if peephole is not None:
                z = z + self.peephole[self.peephole_sites.index(site)] * peephole
            return z

        states = self.equations(recurrent, *states)
        return states[0], list(states) if in_list else states[0]

    def by_site(self, columns, sites=None):
        """`(..., sites * units)` taken apart; all sites unless told which."""
        if columns is None:
            return {}
        sites = self.sites if sites is None else sites
        return dict(zip(sites, ops.split(columns, len(sites), axis=-1), strict=True))

    @property
    def dropout_mask_count(self):
        """How many masks Keras's `DropoutRNNCell` makes: enough for each site, or None: one."""
        if not self.recurrent_dropout and self.implementation == 2:
            return None
        return max(len(self._without(self.state_only)), len(self.recurrent_sites))

    def input_mask(self, inputs, training):
        """What is kept of the input, for `project`: None for all of it."""
        if not (training and self.dropout):
            return None
        masks = self.get_dropout_mask(inputs)
        if not isinstance(masks, list):
            return masks
        return dict(zip(self._without(self.state_only), masks, strict=False))

    def state_masks(self, state, training):
        """What is kept of a state where it meets weights: `(batch, units)` by site, or nothing.

        One mask shared by all gates would drop an element from all of them at once, which stops
        units from learning; Keras once did so.
        """
        if not (training and self.recurrent_dropout):
            return {}
        masks = self.get_recurrent_dropout_mask(state)
        return dict(zip(self.recurrent_sites, masks, strict=False))

    @classmethod
    def options(cls):
        """The options of the unit, its bases' included, as parameters by name."""
        return {
            name: parameter
            for base in reversed(cls.__mro__)
            if issubclass(base, Cell)
            for name, parameter in inspect.signature(base.__init__).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            and name not in {"self", "units", *cls.refused}
        }

    def get_config(self):
        options = {name: _written(name, getattr(self, name)) for name in self.options()}
        return {**super().get_config(), "units": self.units, **options}


class Projection:
    """The input's part of every site of a cell, as a function of its weights.

    Args:
        cell: a built `Cell`.
        mask: what is kept of the input, see `Cell.project`.
    """

    def __init__(self, cell, mask=None):
        self._cell = cell
        self._mask = mask
        self._names = [name for name in ("kernel", "bias") if getattr(cell, name) is not None]
        self.weights = [getattr(cell, name) for name in self._names]

    def __call__(self, inputs, *weights):
        weights = dict(zip(self._names, weights, strict=True))
        return self._cell.project(inputs, self._mask, **weights)


class Projected:
    """Stands for a `Projection` where the inputs are `W x + b` already."""

    weights = ()

    def __call__(self, inputs):
        return inputs


def _product(inputs, kernel, bias=None):
    """`inputs @ kernel + bias` over all leading axes at once, which makes its gradients so too."""
    rows = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), kernel)
    if bias is not None and rows.dtype.size < 4:
        rows = rows + bias  # The gradient of bias_add would be summed in half precision, and stop.
    elif bias is not None:
        rows = tf.nn.bias_add(rows, bias)  # TensorFlow makes one operation of the two.
    return tf.reshape(rows, (*ops.shape(inputs)[:-1], kernel.shape[-1]))


def _written(name, value):
    """An option as a configuration file can hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = name.rsplit("_", 1)[-1]
    write = _WRITTEN_BY[kind].serialize if kind in _WRITTEN_BY else _write
    return write(value)


_write = keras.saving.serialize_keras_object


def _share(name, value):
    if not (isinstance(value, Real) and 0 <= value < 1):
        raise ValueError(
            f"`{name}`: expected a share from 0 up to, but not including, 1, got {value!r}."
        )
    return value
