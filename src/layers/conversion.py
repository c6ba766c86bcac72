"""Keras's recurrent layers to ours and back, with their configuration, weights and states.

`layers.LSTM` and `layers.SimpleRNN` also load the weights of Keras's layers, and Keras's load
theirs. Weights of all other units are refused there, see `unrolled.layers.mark`; not where
variables are assigned by hand, in pairs.
"""

import keras
import numpy as np
from keras import ops

from unrolled.layers.gru import GRU
from unrolled.layers.lstm import LSTM
from unrolled.layers.simple_rnn import SimpleRNN

IN_PLACE_OF = {ours.in_place_of: ours for ours in (LSTM, GRU, SimpleRNN)}
"""By layer of Keras's the one of ours that computes the same."""


def from_keras(layer):
    """Our layer that computes what a layer of Keras does.

    Do not assign the variables of Keras's GRU to those of ours in pairs by hand: the shapes agree,
    the update gate has the opposite sign, and nothing can raise an error.

    Args:
        layer: a built `keras.layers.LSTM`, `GRU` or `SimpleRNN`.

    Returns:
        `layers.LSTM`, `layers.GRU` or `layers.SimpleRNN`, with the same configuration and weights.

    Raises:
        TypeError: for a layer of another kind.
        ValueError: for a layer that is not built, or has what ours has not.

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


def to_keras(layer):
    """Keras's layer that computes what a layer of ours does; the inverse of `from_keras`.

    Args:
        layer: a built `layers.LSTM`, `layers.GRU` or `layers.SimpleRNN`.

    Returns:
        `keras.layers.LSTM`, `GRU` or `SimpleRNN`, with the same configuration and weights. What our
        gates' biases started from is not kept: the weights hold what has become of it.

    Raises:
        TypeError: for a layer of another kind.
        ValueError: for a layer that is not built, or a variant that Keras has not.
    """
    kind = _counterpart(layer, {ours: theirs for theirs, ours in IN_PLACE_OF.items()})
    config = layer.get_config()
    known = {*kind(1).get_config(), "implementation", "seed"}
    plain = type(layer)(1).get_config()
    starts = {"forget_bias", "update_bias", "longest_lag"}
    variant = {k: config[k] for k in config.keys() - known - starts if config[k] != plain[k]}
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
    mark = getattr(source.cell, "unlike_keras", None)
    weights = [weight.numpy() for weight in source.weights if weight is not mark]
    if isinstance(target, keras.layers.GRU | GRU):
        _check_that_the_update_gate_can_be_turned(source.cell)
        weights = _with_the_update_gate_turned(weights, source, target)
    batch = source.states[0].shape[0] if source.stateful else None
    target.build((batch, None, source.cell.kernel.shape[0]))
    target.set_weights([*weights, *target.get_weights()[len(weights) :]])  # With the mark, if any.
    for state, other in zip(target.states or [], source.states or [], strict=True):
        state.assign(other)
    return target


def _check_that_the_update_gate_can_be_turned(cell):
    """Keras's z is 1 - Γ_u, and σ(-x) = 1 - σ(x); neither holds for whatever σ."""
    x = ops.convert_to_tensor(np.linspace(-4, 4, 17), "float32")
    sigma = cell.recurrent_activation
    if not np.allclose(sigma(-x), 1 - ops.convert_to_numpy(sigma(x)), atol=1e-3):
        raise ValueError(
            "`recurrent_activation`: Keras's update gate is 1 minus ours, which needs a function "
            f"with f(-x) = 1 - f(x), such as sigmoid; got {sigma.__name__}."
        )
    for name in ("kernel_constraint", "recurrent_constraint", "bias_constraint"):
        if isinstance(getattr(cell, name), keras.constraints.NonNeg):
            raise ValueError(
                f"`{name}`: NonNeg cannot hold in Keras's GRU and ours at once, as the weights of "
                "the update gate are of opposite sign."
            )


def _with_the_update_gate_turned(weights, source, target):
    """GRU weights, the first `units` columns of each negated.

    With `reset_after` Keras adds one bias to the input's part of every gate and one to the state's,
    rows of one weight; ours has one bias a site.
    """
    units = source.units
    kernel, recurrent_kernel, *bias = (
        np.concatenate([-w[..., :units], w[..., units:]], axis=-1) for w in weights
    )
    if bias and source.reset_after:
        (bias,) = bias
        if isinstance(target, GRU):
            of_input, of_state = bias
            gates = of_input[: 2 * units] + of_state[: 2 * units]
            bias = [np.concatenate([gates, of_input[2 * units :], of_state[2 * units :]])]
        else:
            of_state = np.concatenate([np.zeros(2 * units), bias[3 * units :]])
            bias = [np.stack([bias[: 3 * units], of_state])]
    return [kernel, recurrent_kernel, *bias]
