"""The base of all cells: options, weights, dropout, and one step through time in readable form."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from unrolled._compat import DropoutRNNCell
from unrolled.layers.mark import NAME, MarkedWeights

SiteSum: TypeAlias = Callable[..., tf.Tensor]
"""`recurrent` in `Cell.equations`."""
Masks: TypeAlias = tf.Tensor | dict[str, tf.Tensor] | None
"""Dropout masks of an input: one for all sites, one by site, or none."""

_SERIALIZERS = {
    "activation": keras.activations.serialize,
    "initializer": keras.initializers.serialize,
    "regularizer": keras.regularizers.serialize,
    "constraint": keras.constraints.serialize,
}


class Cell(MarkedWeights, keras.layers.Layer, DropoutRNNCell):
    """A recurrent unit: one step through time.

    A subclass states its equations in `equations`, and names in `sites` its pre-activations, one
    per gate or candidate. The lecture writes `W_u [a<t-1>, x<t>] + b_u` for one site `u`, with the
    state and the input stacked. Here, as in Keras, `W_u` is stored in two parts:

    - `kernel`, `(input_dim, sites * units)`: the columns that multiply `x<t>`;
    - `recurrent_kernel`, `(units, sites * units)`: the columns that multiply the state;
    - `bias`, `(sites * units,)`.

    A site that lacks a part, as the attributes below say, has no columns in that weight.

    Keras loads weights by their number and shapes. A unit whose weights mean something else to a
    layer of Keras has a last variable `unlike_keras`, `(0,)`, so that neither loads the weights of
    the other. See `unrolled.layers.mark`.

    Args:
        units: size of each state.
        activation: g, the lecture's tanh.
        use_bias: whether each site adds a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values of the weights.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights. The
            recurrent one applies to peephole weights too.
        kernel_constraint, recurrent_constraint, bias_constraint: constraints on the weights. The
            recurrent one applies to peephole weights too.
        dropout: dropout rate of `x<t>` in training, with the same mask at every step.
        recurrent_dropout: dropout rate of the state in training, where it meets weights. The mask
            is the same at every step and another for every site.
        seed: seed of the dropout masks.
        **kwargs: `name`, `dtype` and `trainable`, as for every Keras layer.

    Attributes:
        sites: names of the sites, in the order of their columns in the weights.
        input_only: sites without recurrent weights.
        state_only: sites without input weights, to which `x<t>` does not come.
        input_itself: sites to which `x<t>` comes without weights, each with the function that is
            applied to it.
        unbiased: sites without a bias.
        peephole_sites: sites that also see a state element by element, through the weight
            `peephole`, `(peephole_sites, units)`, with Glorot & Bengio's uniform initial values.
        states: names of the states in the lecture; the first is the unit's output.
        unsupported: options of the base class that the unit does not have, each with the reason.
        variant: the class with further options that this unit leaves out, or None. See
            `unrolled.layers.variants`.

    Raises:
        TypeError: for an option of the variant.
        ValueError: for an invalid value of an option.
    """

    units: int
    activation: Callable[[tf.Tensor], tf.Tensor]
    use_bias: bool
    bias_initializer: Callable[..., tf.Tensor]
    dropout: float
    recurrent_dropout: float
    kernel: Any
    recurrent_kernel: Any
    bias: Any
    peephole: Any

    sites: Sequence[str]
    states: Sequence[str]
    input_only: Sequence[str] = ()
    state_only: Sequence[str] = ()
    input_itself: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {}
    unbiased: Sequence[str] = ()
    peephole_sites: Sequence[str] = ()
    unsupported: Mapping[str, str] = {}
    implementation = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(units, bool) or not isinstance(units, Integral) or units < 1:
            raise ValueError(f"`units`: expected a positive integer, got {units!r}.")
        if not isinstance(use_bias, bool | np.bool_):
            raise ValueError(f"`use_bias`: expected True or False, got {use_bias!r}.")
        super().__init__(**self.without_variant_options(kwargs))
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
        self.dropout = _rate("dropout", dropout)
        self.recurrent_dropout = _rate("recurrent_dropout", recurrent_dropout)
        self.seed = seed
        # Only if needed: a new generator draws from the random state of the initial weights.
        uses_seed = self.dropout or self.recurrent_dropout
        self.seed_generator = keras.random.SeedGenerator(seed) if uses_seed else None
        self.output_size = self.units

    def equations(self, recurrent: SiteSum, *states: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The lecture's equations for one step.

        The backward pass of a layer runs them once more. Therefore they may not draw random
        numbers, and may use no weights except those of sites and peepholes. `keras.layers.RNN` over
        the cell has no such limits.

        Args:
            recurrent: `recurrent("u", v)` returns `W_u [v, x<t>] + b_u`, `(batch, units)`, for the
                site `u` and a tensor `v` that meets its weights, in most units the previous state.
                `recurrent("u", v, peephole=c)` adds `p_u * c`. An input-only site takes no `v`.
            *states: the states of step t-1, each `(batch, units)`.

        Returns:
            The states of step t, a tuple in the order of the attribute `states`.
        """
        raise NotImplementedError

    def gate_biases(self) -> Mapping[str, Any]:
        """Initial biases that replace `bias_initializer`, by site."""
        return {}

    @property
    def weights_as_in_keras(self) -> bool:
        """Whether Keras has this unit, with the same weights in the same order."""
        return False

    @property
    def state_size(self) -> int | list[int]:
        """Size of the state, or a list of sizes for several states, as in Keras's cells."""
        return self.units if len(self.states) == 1 else [self.units] * len(self.states)

    def get_initial_state(self, batch_size: int | None = None) -> list[tf.Tensor]:
        """A list of zeros, `(batch_size, units)`, one tensor for each state."""
        return [ops.zeros((batch_size, self.units), self.compute_dtype) for _ in self.states]

    @property
    def recurrent_sites(self) -> list[str]:
        """The sites with columns in the recurrent kernel, in their order."""
        return [site for site in self.sites if site not in self.input_only]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights for inputs of `input_shape[-1]` elements."""
        input_dim = input_shape[-1]
        if self.input_itself and input_dim != self.units:
            raise ValueError(
                f"{type(self).__name__}: the unweighted input requires as many inputs as units: "
                f"expected {self.units}, got {input_dim}. Set `units` to {input_dim}, or the size "
                f"of the previous layer, such as the embedding, to {self.units}."
            )
        # First: it decides the names of the others in a checkpoint. In the list `weights` it comes
        # last, because it is not trainable.
        if not self.weights_as_in_keras and not self.peephole_sites:
            self.unlike_keras = self.add_weight(
                name=NAME, shape=(0,), initializer="zeros", trainable=False
            )
        self._kernel_sites = self._sites_without(self.state_only, self.input_itself)
        self._bias_sites = self._sites_without(self.unbiased)
        self.kernel = self._weight("kernel", (input_dim, len(self._kernel_sites) * self.units))
        width = len(self.recurrent_sites) * self.units
        self.recurrent_kernel = self._weight("recurrent_kernel", (self.units, width))
        self.bias = None
        if self.use_bias:
            width = len(self._bias_sites) * self.units
            self.bias = self._weight("bias", (width,), self._initial_bias)
        rows = len(self.peephole_sites)
        self.peephole = self._weight("peephole", (rows, self.units), "glorot_uniform")

    def _sites_without(self, *absent):
        return [site for site in self.sites if not any(site in sites for sites in absent)]

    def _weight(self, name, shape, initializer=None):
        """A weight with its regularizer and constraint; None if it has no elements."""
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
        biases = self.by_site(self.bias_initializer(shape, dtype=dtype), self._bias_sites)
        for site, bias in self.gate_biases().items():
            if site in biases:
                biases[site] = ops.broadcast_to(ops.cast(bias, dtype), (self.units,))
        return ops.concatenate(list(biases.values()))

    def project(
        self,
        inputs: tf.Tensor,
        dropout_mask: Masks = None,
        kernel: tf.Tensor = None,
        bias: tf.Tensor = None,
    ) -> tf.Tensor:
        """`W x + b` for all sites at once.

        Args:
            inputs: `(..., input_dim)`, of any numeric dtype.
            dropout_mask: multiplies the inputs; `(batch, input_dim)`, or one such mask by site.
            kernel, bias: instead of those of the cell.

        Returns:
            `(..., sites * units)`.
        """
        inputs = ops.cast(inputs, self.compute_dtype)  # Keras's layers accept integers as well.
        kernel = self.kernel if kernel is None else kernel
        bias = self.bias if bias is None else bias
        by_site = isinstance(dropout_mask, dict)
        if not (by_site or self.state_only or self.input_itself or self.unbiased):
            return _product(_dropped(inputs, dropout_mask), kernel, bias)
        W = self.by_site(kernel, self._kernel_sites)
        b = self.by_site(bias, self._bias_sites) if self.use_bias else {}
        masks: Any = dropout_mask if by_site else dict.fromkeys(self.sites, dropout_mask)
        parts = [
            self._project_to(site, _dropped(inputs, masks.get(site)), W, b) for site in self.sites
        ]
        return ops.concatenate(parts, axis=-1)

    def _project_to(self, site, inputs, W, b):
        z = inputs
        if site in self.state_only:
            z = ops.zeros((*ops.shape(inputs)[:-1], self.units), inputs.dtype)
        elif site in self.input_itself:
            z = self.input_itself[site](z)
        else:
            return _product(z, W[site], b.get(site))
        return z + b[site] if site in b else z

    def call(self, inputs: tf.Tensor, states: Any, training: bool = False) -> tuple[tf.Tensor, Any]:
        """One step.

        Args:
            inputs: x<t>, `(batch, input_dim)`.
            states: the previous states, a list of `(batch, units)`. A unit with one state also
                takes the bare tensor.
            training: whether dropout is applied.

        Returns:
            The output, `(batch, units)`, and the new states, in a list if `states` is one.

        Raises:
            ValueError: for a wrong number of states.
        """
        in_list = isinstance(states, list | tuple)
        states = list(states) if in_list else [states]
        if len(states) != len(self.states):
            raise ValueError(
                f"`states`: expected {len(self.states)} ({', '.join(self.states)}), got "
                f"{len(states)}."
            )
        x = self.by_site(self.project(inputs, self.input_dropout_mask(inputs, training)))
        U = self.by_site(self.recurrent_kernel, self.recurrent_sites)
        masks = self.state_dropout_masks(states[0], training)

        def recurrent(site, v=None, peephole=None):
            z = x[site]
            if v is not None:
                z = z + ops.matmul(v * masks[site] if masks else v, U[site])
            if peephole is not None:
                z = z + self.peephole[self.peephole_sites.index(site)] * peephole
            return z

        states = self.equations(recurrent, *states)
        return states[0], list(states) if in_list else states[0]

    def by_site(
        self, columns: tf.Tensor | None, sites: Sequence[str] | None = None
    ) -> dict[str, tf.Tensor]:
        """Split columns `(..., sites * units)` by site.

        Args:
            columns: the tensor, or None for an absent weight.
            sites: the sites that have columns in it; all sites of the unit if None.

        Returns:
            `(..., units)` by site; empty for None.
        """
        if columns is None:
            return {}
        sites = self.sites if sites is None else sites
        return dict(zip(sites, ops.split(columns, len(sites), axis=-1), strict=True))

    @property
    def dropout_mask_count(self) -> int | None:
        """How many masks Keras's `DropoutRNNCell` draws: one for each site, or None for a single
        one."""
        if not self.recurrent_dropout and self.implementation == 2:
            return None
        return max(len(self._sites_without(self.state_only)), len(self.recurrent_sites))

    def input_dropout_mask(self, inputs: tf.Tensor, training: bool) -> Masks:
        """The dropout mask of the input, as `project` takes it."""
        if not (training and self.dropout):
            return None
        masks = self.get_dropout_mask(inputs)
        if not isinstance(masks, list):
            return masks
        return dict(zip(self._sites_without(self.state_only), masks, strict=False))

    def state_dropout_masks(self, state: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """The dropout masks of a state where it meets weights, `(batch, units)` by site; or empty.

        A single mask for all gates would drop an element from all of them at once, which stops
        units from learning; Keras once did so.
        """
        if not (training and self.recurrent_dropout):
            return {}
        masks = self.get_recurrent_dropout_mask(state)
        return dict(zip(self.recurrent_sites, masks, strict=False))

    @classmethod
    @functools.cache
    def options(cls) -> Mapping[str, inspect.Parameter]:
        """The options of the unit, including those of its base classes, as parameters by name."""
        return {
            name: parameter
            for base in reversed(cls.__mro__)
            if issubclass(base, Cell)
            for name, parameter in inspect.signature(base.__init__).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            and name not in {"self", "units", *cls.unsupported}
        }

    def get_config(self) -> dict[str, Any]:
        """The options of the unit, in a form that a configuration file can hold."""
        options = {name: _serialized(name, getattr(self, name)) for name in self.options()}
        return {**super().get_config(), "units": self.units, **options}


def _product(inputs, kernel, bias=None):
    """`inputs @ kernel + bias` over all leading axes at once, so that its gradients are one product
    each."""
    rows = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), kernel)
    if bias is not None and rows.dtype.size < 4:
        rows = rows + bias  # The gradient of bias_add would be summed in half precision, and stop.
    elif bias is not None:
        rows = tf.nn.bias_add(rows, bias)  # TensorFlow makes one operation of the two.
    return tf.reshape(rows, (*ops.shape(inputs)[:-1], kernel.shape[-1]))


def _dropped(inputs, dropout_mask):
    return inputs if dropout_mask is None else inputs * dropout_mask


def _serialized(name, value):
    """An option as a configuration file can hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = name.rsplit("_", 1)[-1]
    return _SERIALIZERS.get(kind, keras.saving.serialize_keras_object)(value)


def _rate(name, value):
    if not (isinstance(value, Real) and 0 <= float(value) < 1):
        raise ValueError(f"`{name}`: expected a rate of at least 0 and below 1, got {value!r}.")
    return value
