"""Conversion between Keras's recurrent layers and the layers here, with configuration, weights and
states.

`layers.LSTM` and `layers.SimpleRNN` also load the weights of Keras's layers, and vice versa. The
weights of all other units are rejected there, see `unrolled.layers.mark`, unless variables are
assigned by hand, in pairs.
"""

import keras
import numpy as np
from keras import ops

from unrolled.layers import variants
from unrolled.layers.gru import GRU
from unrolled.layers.lstm import LSTM
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.simple_rnn import SimpleRNN

IN_PLACE_OF: dict[type, type] = {ours.in_place_of: ours for ours in (LSTM, GRU, SimpleRNN)}
"""The layer here that computes the same, by layer of Keras."""

_INITIAL_BIASES = {"forget_bias", "update_bias", "longest_lag"}


def from_keras(layer: keras.layers.RNN) -> Recurrent:
    """The layer of this package that computes what a layer of Keras does.

    Do not assign the variables of Keras's GRU to those of `layers.GRU` in pairs by hand: the shapes
    agree, the update gate has the opposite sign, and nothing can raise an error.

    Args:
        layer: a built `keras.layers.LSTM`, `GRU` or `SimpleRNN`.

    Returns:
        `layers.LSTM`, `layers.GRU` or `layers.SimpleRNN`, with the same configuration and weights.
        For a GRU with `reset_after=True`, Keras's default, it is a `variants.GRU`.

    Raises:
        TypeError: for a layer of another class.
        ValueError: for a layer that is not built, or has what the layer here has not.

    >>> theirs = keras.layers.LSTM(4)
    >>> x = keras.random.normal((2, 5, 3))
    >>> y = theirs(x)
    >>> float(ops.max(ops.abs(from_keras(theirs)(x) - y))) < 1e-6
    True
    """
    kind = _counterpart(layer, IN_PLACE_OF)
    config = {**layer.get_config(), "seed": layer.cell.seed}  # Keras's SimpleRNN leaves it out.
    if kind is not SimpleRNN:
        config["implementation"] = layer.cell.implementation
    return _same_weights(layer, kind.from_config(config))


def to_keras(layer: Recurrent) -> keras.layers.RNN:
    """The layer of Keras that computes what a layer here does; the inverse of `from_keras`.

    Args:
        layer: a built `layers.LSTM`, `layers.GRU` or `layers.SimpleRNN`; or a `variants.LSTM` or
            `variants.GRU` with no option that Keras does not have.

    Returns:
        `keras.layers.LSTM`, `GRU` or `SimpleRNN`, with the same configuration and weights. It has
        no options for the initial biases of gates, which no longer matter.

    Raises:
        TypeError: for a layer of another class.
        ValueError: for a layer that is not built, or a variant that Keras does not have.
    """
    kinds = {ours: theirs for theirs, ours in IN_PLACE_OF.items()}
    kinds |= {variants.LSTM: keras.layers.LSTM, variants.GRU: keras.layers.GRU}
    kind = _counterpart(layer, kinds)
    config = {"reset_after": False, **layer.get_config()}
    known = {*kind(1).get_config(), "implementation", "seed"}
    plain = type(layer)(1).get_config()
    further = config.keys() - known - _INITIAL_BIASES - {"jit_compile", "reset_after"}
    variant = {name: config[name] for name in further if config[name] != plain[name]}
    if variant:
        given = ", ".join(f"{name}={value!r}" for name, value in sorted(variant.items()))
        raise ValueError(f"Keras has no {type(layer).__name__} with {given}.")
    return _same_weights(layer, kind.from_config({k: config[k] for k in config.keys() & known}))


def _counterpart(layer, kinds):
    if type(layer) not in kinds:
        names = ", ".join(f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in kinds)
        raise TypeError(f"`layer`: expected one of {names}, got {type(layer).__name__}.")
    if not layer.built:
        raise ValueError(
            f"`layer`: {layer.name!r} is not built and has no weights to convert. Call it once, or "
            "call its `build` with the shape of its input."
        )
    return kinds[type(layer)]


def _same_weights(source, target):
    marker = getattr(source.cell, "unlike_keras", None)
    weights = [weight.numpy() for weight in source.weights if weight is not marker]
    if keras.layers.GRU in (type(source), type(target)):
        _check_that_the_update_gate_can_be_negated(source.cell)
        weights = _with_update_gate_negated(weights, source, target)
    batch = source.states[0].shape[0] if source.stateful else None
    target.build((batch, None, source.cell.kernel.shape[0]))
    target.set_weights([*weights, *target.get_weights()[len(weights) :]])  # And the marker, if any.
    for state, other in zip(target.states or [], source.states or [], strict=True):
        state.assign(other)
    return target


def _check_that_the_update_gate_can_be_negated(cell):
    """Keras's z is 1 - Γ_u, which needs a σ with σ(-x) = 1 - σ(x), and no constraint on signs."""
    x = ops.convert_to_tensor(np.linspace(-4, 4, 17), "float32")
    sigma = cell.recurrent_activation
    given = getattr(sigma, "__name__", type(sigma).__name__)  # A Keras layer has no `__name__`.
    if not np.allclose(sigma(-x), 1 - ops.convert_to_numpy(sigma(x)), atol=1e-3):
        raise ValueError(
            "`recurrent_activation`: Keras's update gate is 1 minus the one here, which needs a "
            f"function with f(-x) = 1 - f(x), such as sigmoid; got {given}."
        )
    for name in ("kernel_constraint", "recurrent_constraint", "bias_constraint"):
        if isinstance(getattr(cell, name), keras.constraints.NonNeg):
            raise ValueError(
                f"`{name}`: NonNeg cannot hold in Keras's GRU and the one here: the weights of "
                "the update gate have opposite signs."
            )


def _with_update_gate_negated(weights, source, target):
    """GRU weights, with the first `units` columns of each negated.

    With `reset_after` Keras adds one bias to the input's part of every gate and one to the state's,
    rows of one weight. The layer here has one bias for each site.
    """
    units = source.units
    kernel, recurrent_kernel, *biases = (
        np.concatenate([-w[..., :units], w[..., units:]], axis=-1) for w in weights
    )
    if biases and getattr(source, "reset_after", False):
        convert = _one_bias if isinstance(target, variants.GRU) else _two_biases
        biases = [convert(biases[0], units)]
    return [kernel, recurrent_kernel, *biases]


def _one_bias(bias, units):
    """The bias of `variants.GRU(reset_after=True)`, sites u, r, c, m, from Keras's two rows."""
    of_input, of_state = bias
    gates = of_input[: 2 * units] + of_state[: 2 * units]
    return np.concatenate([gates, of_input[2 * units :], of_state[2 * units :]])


def _two_biases(bias, units):
    """The inverse of `_one_bias`; the state's part of the gates has no bias of its own."""
    of_state = np.concatenate([np.zeros(2 * units), bias[3 * units :]])
    return np.stack([bias[: 3 * units], of_state])
