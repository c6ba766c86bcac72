"""A cell's equations over a run of steps: one loop forward, one loop back.

Only what depends on the step before is in these loops; `unrolled.layers.scan.chunks` does the rest
for many steps at once. Sites that see the same tensor share one product a step. The loop back asks
the cell's own equations for their vector-Jacobian product, step by step, so no cell writes a
derivative.
"""

import tensorflow as tf

_READ = {"ReadVariableOp", "VarHandleOp"}
_COSTLY = {"Erf", "Exp", "Expm1", "Log", "Log1p", "Pow", "Sigmoid", "Softplus", "Tanh"}


class Steps:
    """The two loops of one cell.

    Args:
        cell: a built `Cell`.
        apart: whether sites that see the same state need a product each, because recurrent dropout
            keeps something else of it for each of them.

    Attributes:
        groups: the sites that see one and the same tensor, together, in the order of z's columns.
        met: for every group that a state meets, the number of that state if it meets the weights
            as it is, or None.
    """

    def __init__(self, cell, apart=False):
        self.cell = cell
        self._find_groups(apart)
        self.widths = [len(group) * cell.units for group in self.groups]

    def _find_groups(self, apart):
        """Run the equations once, to see which tensors the sites see, and what is costly."""
        cell = self.cell
        operands, groups = [], []
        without_state, looking = [], []

        def recurrent(site, v=None, peephole=None):
            without_state.extend([site] if v is None else [])
            looking.extend([] if peephole is None else [site])
            for operand, group in zip(operands, groups, strict=True):
                if operand is v and not (apart and v is not None):
                    group.append(site)
                    break
            else:
                operands.append(v)
                groups.append([site])
            z = states[0] if v is None else v
            return z if peephole is None else z + peephole

        @tf.function(autograph=False)
        def once():
            nonlocal states, new
            # Two examples, so that what is the same for all can be told from what is not.
            states = [tf.zeros((2, cell.units), cell.compute_dtype) for _ in cell.states]
            new = cell.equations(recurrent, *states)
            found = _costly_so_far()
            self._steps_costly = len(found)
            self._carried = [n for n, r in enumerate(found) if _is_like(r, states[0])]

        states = new = None
        _check_operations(cell, once.get_concrete_function().graph)
        _require(
            cell,
            isinstance(new, tuple) and len(new) == len(states),
            f"a tuple of {len(states)} states, as in `states`, to be returned; got {new!r}",
        )
        used = sorted(site for group in groups for site in group)
        _require(
            cell,
            used == sorted(cell.sites),
            f"`recurrent` to be called once for each of the sites {sorted(cell.sites)}; got {used}",
        )
        _require(
            cell,
            sorted(without_state) == sorted(cell.input_only),
            "`recurrent` to be called without a state for the sites of `input_only` alone, "
            f"{sorted(cell.input_only)}; got {sorted(without_state)}",
        )
        _require(
            cell,
            sorted(looking) == sorted(cell.peephole_sites),
            "`recurrent` to be called with a peephole for the sites of `peephole_sites`, "
            f"{sorted(cell.peephole_sites)}; got {sorted(looking)}",
        )
        # Those that no state meets come last.
        found = sorted(zip(operands, groups, strict=True), key=lambda pair: pair[0] is None)
        self.groups = [tuple(sorted(group, key=cell.sites.index)) for _, group in found]
        numbers = {id(state): number for number, state in enumerate(states)}
        self.met = [None if apart else numbers.get(id(v)) for v, _ in found if v is not None]

    def arrange(self, columns, sites):
        """Weights or sums `(..., sites * units)` with the sites of a group side by side."""
        order = [sites.index(site) for group in self.groups for site in group if site in sites]
        if order == sorted(order):
            return columns
        parts = tf.split(columns, len(sites), axis=-1)
        return tf.concat([parts[i] for i in order], axis=-1)

    def forward(self, weights, kept, length, projected, mask, states, saving, outputs):
        """From the states before the first step to those after the last.

        Args:
            weights: the recurrent kernels, one for each group that a state meets; the peepholes, in
                a list of one or none.
            kept: by site, what recurrent dropout keeps of a state there, `(batch, units)`.
            length: how many steps are real.
            projected: `W x + b` for all sites, `(steps, batch, sites * units)`, arranged.
            mask: bool `(steps, batch, 1)`, or None. A step with False passes the states on.
            states: each `(batch, units)`.
            saving: whether to keep what the way back needs.
            outputs: whether to keep the first state of every step.

        Returns:
            The last states, and what was kept: by `saving` z, `(steps, batch, sites * units)`, and
            each state, the first included, `(steps + 1, batch, units)`; by `outputs` alone the
            first state, likewise; and results that only keep XLA from repeating work.
        """
        size = tf.shape(projected)[0]
        x, mask = _as_array(projected), _as_array(mask)
        kept_z = [_room(size, projected[0])] if saving else []
        tracked = states if saving else states[:1] if outputs else []
        kept_states = [_room(size + 1, state).write(0, state) for state in tracked]

        def step(t, states, kept_z, kept_states, _):
            sites = _Sites(self, weights, kept, tf.split(x.read(t), self.widths, axis=-1))
            new, costly = self._step(sites, states, None if mask is None else mask.read(t))
            kept_states = [k.write(t + 1, n) for k, n in zip(kept_states, new, strict=False)]
            kept_z = [k.write(t, tf.concat(sites.z, axis=-1)) for k in kept_z]
            return t + 1, new, kept_z, kept_states, costly

        start = [0, list(states), kept_z, kept_states, self._spare(states[0])]
        _, last, *kept_parts, costly = tf.while_loop(lambda t, *_: t < length, step, start)
        return last, *([k.stack() for k in part] for part in kept_parts), costly

    def back(self, weights, kept, length, z, sequences, mask, d_outputs, d_states):
        """From the gradients of the last states to those of the first.

        Args:
            weights: as for `forward`, the kernels transposed: XLA would do it at every step.
            kept, length, mask: as for `forward`.
            z, sequences: what `forward` kept.
            d_outputs: gradient of the first state of every step, `(steps, batch, units)`, or None.
            d_states: gradients of the last states.

        Returns:
            The gradients of the first states, of z for every step, and of the peepholes; for each
            group in `met` with None what met the weights at every step; and results that only
            keep XLA from repeating work.
        """
        size = tf.shape(z)[0]
        states = [_as_array(sequence) for sequence in sequences]
        kept_dz = _room(size, z[0])
        kept_v = [_room(size, d_states[0]) for state in self.met if state is None]
        z, mask, d_outputs = (_as_array(part) for part in (z, mask, d_outputs))
        d_peepholes = [start_of_sum(weight) for weight in weights[1]]

        def step(t, d_states, kept_dz, kept_v, d_peepholes, _):
            if d_outputs is not None:
                d_states = [d_states[0] + d_outputs.read(t), *d_states[1:]]
            before = [s.read(t) for s in states]
            keep = None if mask is None else mask.read(t)
            columns = tf.split(z.read(t), self.widths, axis=-1)
            sites = _StoredSites(self, weights, kept, columns, keep)
            d_before, dz, d_weights, costly = self._pull_back(sites, before, keep, d_states)
            d_peepholes = [
                d + tf.cast(w, d.dtype) for d, w in zip(d_peepholes, d_weights, strict=True)
            ]
            new_v = [v for v, state in zip(sites.v, self.met, strict=True) if state is None]
            kept_v = [k.write(t, v) for k, v in zip(kept_v, new_v, strict=True)]
            kept_dz = kept_dz.write(t, tf.concat(dz, axis=-1))
            return t - 1, d_before, kept_dz, kept_v, d_peepholes, costly

        start = [length - 1, list(d_states), kept_dz, kept_v, d_peepholes, self._spare(d_states[0])]
        _, d_first, kept_dz, kept_v, d_peepholes, costly = tf.while_loop(
            lambda t, *_: t >= 0, step, start
        )
        return d_first, kept_dz.stack(), d_peepholes, [k.stack() for k in kept_v], costly

    def _step(self, sites, states, keep):
        """The states of the next step, of which a masked one passes on what it was given."""
        new = self.cell.equations(sites, *states)
        costly = self._costly_results()
        if keep is not None:
            new = [_where(keep, n, s) for n, s in zip(new, states, strict=True)]
        return list(new), costly

    def _pull_back(self, sites, before, keep, d_states):
        """The vector-Jacobian product of one step, asked of the cell's own equations.

        A masked step passes gradients on as it passes on states, and has none of its own. The zeros
        sent through its equations would not do: zero times an infinite derivative is NaN.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*before, *sites.x, *sites.peepholes])
            new, costly = self._step(sites, before, keep)
        d_before, *others = tape.gradient(
            new,
            (before, sites.x, sites.peepholes),
            output_gradients=d_states,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        if keep is not None:  # Of the others, `_StoredSites` sees to it.
            d_before = [tf.where(keep, d, p) for d, p in zip(d_before, d_states, strict=True)]
        return d_before, *others, costly

    def _costly_results(self):
        """Results of this step that XLA shall compute once.

        XLA repeats a result for each of its uses unless one of them needs it in memory: a gate's
        sigmoid some four times over, half of the time of a step. So they are carried along.
        """
        if tf.executing_eagerly():
            return []
        found = _costly_so_far()
        of_step = found[len(found) - self._steps_costly :]
        return [of_step[number] for number in self._carried]

    def _spare(self, state):
        return [] if tf.executing_eagerly() else [tf.zeros_like(state)] * len(self._carried)


def _costly_so_far():
    operations = tf.compat.v1.get_default_graph().get_operations()
    return [op.outputs[0] for op in operations if op.type in _COSTLY]


def _is_like(result, state):
    return result.dtype == state.dtype and result.shape == state.shape


def _check_operations(cell, graph):
    """Refuse what a gradient would silently be wrong of, or could not be taken."""
    drawn = sorted({op.type for op in graph.get_operations() if op.op_def.is_stateful} - _READ)
    own = [variable.name for variable in graph.variables]
    hint = (
        "They run once more on the way back. Take keras.layers.RNN over the cell, which is slower"
    )
    _require(cell, not drawn, f"no random numbers and nothing that acts, got {drawn}. {hint}")
    _require(
        cell, not own, f"no weights but those of sites and peepholes, got {', '.join(own)}. {hint}"
    )


@tf.custom_gradient
def _where(keep, new, old):
    """`tf.where`, whose own gradient would first find out that neither was broadcast."""

    def gradient(d):
        nothing = tf.zeros_like(d)
        return None, tf.where(keep, d, nothing), tf.where(keep, nothing, d)

    return tf.where(keep, new, old), gradient


def without_gradient_unless(keep, z):
    """z, whose gradient is zero at masked examples, whatever comes back there."""

    @tf.custom_gradient
    def passed(z):
        return tf.identity(z), lambda d: tf.where(keep, d, tf.zeros_like(d))

    return passed(z)


def start_of_sum(weight):
    """Zeros; long sums would lose digits in half precision."""
    return tf.zeros(weight.shape, tf.float32 if weight.dtype.size < 4 else weight.dtype)


def _require(cell, met, expected):
    if not met:
        raise ValueError(f"{type(cell).__name__}.equations: expected {expected}.")


class _Sites:
    """`recurrent` in a cell's equations, for one step forward; keeps every group's z."""

    def __init__(self, steps, weights, kept, x):
        self.steps = steps
        self.kernels, self.peepholes = weights
        self.kept = kept
        self.x = x
        self.z = [None] * len(x)
        self._parts = {}

    def __call__(self, site, v=None, peephole=None):
        if site not in self._parts:
            self._compute_group(site, v)
        z = self._parts[site]
        if peephole is None:
            return z
        row = self.steps.cell.peephole_sites.index(site)
        return z + self.peepholes[0][row] * peephole

    def _compute_group(self, site, v):
        number, group = next((n, g) for n, g in enumerate(self.steps.groups) if site in g)
        if v is None:
            z = self.x[number]
        else:
            z = self.meet(number, v * self.kept[site] if self.kept else v)
        self.z[number] = z
        # Not slices: the gradient of a slice is a whole z of zeros, and their sum one of each.
        self._parts |= zip(group, tf.split(z, len(group), axis=-1), strict=True)

    def meet(self, number, v):
        """v meets the weights of a group."""
        return self.x[number] + tf.matmul(v, self.kernels[number])


class _StoredSites(_Sites):
    """`recurrent` for one step back: z is known, and its gradient is what one wants to know."""

    def __init__(self, steps, weights, kept, z, keep):
        super().__init__(steps, weights, kept, z)
        self.v = [None] * len(self.kernels)
        self.keep = keep

    def __call__(self, site, v=None, peephole=None):
        z = super().__call__(site, v, peephole)
        return z if self.keep is None else without_gradient_unless(self.keep, z)

    def meet(self, number, v):
        self.v[number] = v

        @tf.custom_gradient
        def stored(v, z):  # noqa: ARG001  (z was computed from v on the way forward)
            def gradient(dz):
                return tf.matmul(dz, self.kernels[number]), dz

            return tf.identity(z), gradient

        return stored(v, self.x[number])


def _as_array(sequence):
    if sequence is None:
        return None
    array = tf.TensorArray(sequence.dtype, tf.shape(sequence)[0], clear_after_read=False)
    return array.unstack(sequence)


def _room(size, like):
    """Room for `size` tensors like this one. XLA wants to see their shape before the loop."""
    zeros = tf.zeros(tf.concat([[size], tf.shape(like)], 0), like.dtype)
    return tf.TensorArray(like.dtype, size, element_shape=like.shape).unstack(zeros)
