"""Reference for the measurements: a Python loop over a cell, recorded by one gradient tape.

Every state is a tensor of its own, with respect to which automatic differentiation computes the
gradient.
"""

import keras
import numpy as np
import tensorflow as tf


class Unrolled:
    """Runs recurrent layers step by step and stores all their states.

    Attributes:
        states: by layer, direction and index of the state, its tensor at each step of the input.
        steps: by layer and direction, the states before and after each step of the input.
    """

    def __init__(self):
        self.states = {}
        self.steps = {}

    def layer(self, layer, x, mask):
        """Returns the outputs `(batch, steps, units)` of a layer, or the last one."""
        if isinstance(layer, keras.layers.Bidirectional):
            ways = layer.forward_layer, layer.backward_layer
            forward, backward = (self._direction(layer.name, way, x, mask) for way in ways)
            merges = {
                "concat": lambda: tf.concat([forward, backward], axis=-1),
                "sum": lambda: forward + backward,
                "mul": lambda: forward * backward,
                "ave": lambda: (forward + backward) / 2,
            }
            return merges[layer.merge_mode]()
        return self._direction(layer.name, layer, x, mask)

    def _direction(self, name, layer, x, mask):
        way = "backward" if layer.go_backwards else "forward"
        steps = range(x.shape[1])
        states = [tf.zeros((len(x), size), tf.float64) for size in np.atleast_1d(layer.state_size)]
        output, outputs = tf.zeros((len(x), layer.cell.output_size), tf.float64), {}
        for t in reversed(steps) if layer.go_backwards else steps:
            new_output, new = layer.cell(x[:, t], states)
            new = list(new) if isinstance(new, list | tuple) else [new]
            self.steps.setdefault((name, way), {})[t] = states, new
            for number, state in enumerate(new):
                self.states.setdefault((name, way, number), {})[t] = state
            real = mask[:, t, None]
            states = [tf.where(real, n, s) for n, s in zip(new, states, strict=True)]
            before = tf.zeros_like(output) if layer.zero_output_for_mask else output
            output = tf.where(real, new_output, before)
            outputs[t] = output
        if layer.return_sequences:
            return tf.stack([outputs[t] for t in steps], axis=1)
        return output

    def gradients(self, tape, loss):
        """Returns dL/ds<t>, `(batch, steps, units)`, by layer, direction and index of the state."""
        by_step = [[at[t] for t in sorted(at)] for at in self.states.values()]
        zero = tf.UnconnectedGradients.ZERO
        found = tape.gradient(loss, by_step, unconnected_gradients=zero)
        return {
            name: tf.stack(gradients, axis=1).numpy()
            for name, gradients in zip(self.states, found, strict=True)
        }
