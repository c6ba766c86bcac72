"""Any cell through time, fast: one loop forward, one loop back, and nothing repeated per step.

The readable form of a cell is `Cell.call`, one step; `keras.layers.RNN` over it is the slow
reference that tests compare to. Here the same `Cell.equations` run with three things moved out of
the loop:

1. the input's part of every site, `W x + b`, is one product over all steps, before the loop;
2. sites that see the same state share one product a step;
3. the weights' gradients are one product over all steps, after the loop. The loop back only asks
   the cell's equations for their vector-Jacobian product, step by step, and keeps the gradient
   dz<t> of each site; then dU = Vᵀ dZ, where v<t> is what met the site's weights at step t.
"""

import tensorflow as tf


def scan(cell, projected, initial_states, mask=None, kept=None):
    """Carry a cell's states through time.

    Args:
        cell: a built `Cell`.
        projected: `W x + b` for all sites, `(steps, batch, sites * units)`.
        initial_states: the states before the first step, each `(batch, units)`.
        mask: bool `(steps, batch, 1)`, or None. A step with False passes the states on unchanged.
        kept: by site, what recurrent dropout keeps of a state there, `(batch, units)`, or None.

    Returns:
        The output of every step, `(steps, batch, units)`, and the states after the last step.
    """
    groups = _groups_of_sites(cell, apart=bool(kept))
    recurrent_kernel = tf.convert_to_tensor(cell.recurrent_kernel)
    # The products below want the sites of a group side by side.
    projected = _take_sites(projected, cell.sites, groups, cell.units)
    recurrent_kernel = _take_sites(recurrent_kernel, cell.recurrent_sites, groups, cell.units)
    peephole = [] if cell.peephole is None else [tf.convert_to_tensor(cell.peephole)]

    @tf.custom_gradient
    def run(projected, recurrent_kernel, *rest):
        states, peephole = rest[: len(initial_states)], rest[len(initial_states) :]
        loop = _Loop(cell, groups, kept, recurrent_kernel, *peephole)
        sequences, z = loop.forward(projected, states, mask)
        outputs = sequences[0][1:]
        last = [sequence[-1] for sequence in sequences]

        def gradient(d_outputs, *d_last):
            def backward(d_outputs, *rest):
                return loop.backward(sequences, z, mask, d_outputs, rest[: len(d_last)])

            # z stands for the inputs and weights it was made of: whoever asks for a derivative of
            # this derivative by any of them is refused, not given a part of it.
            return _once(backward)(d_outputs, *d_last, *rest, recurrent_kernel, *sequences, *z)

        return (outputs, *last), gradient

    outputs, *last = run(projected, recurrent_kernel, *initial_states, *peephole)
    return outputs, last


def _once(function):
    """`function`, of which a derivative is refused."""

    @tf.custom_gradient
    def guarded(*arguments):
        def refuse(*_):
            raise NotImplementedError(
                "Second derivatives do not go through the scan of `layers`; take them through "
                "keras.layers.RNN(layer.cell), which is slower."
            )

        return function(*arguments), refuse

    return guarded


def _take_sites(columns, sites, groups, units):
    order = [sites.index(site) for group in groups for site in group if site in sites]
    if order == sorted(order):
        return columns
    parts = tf.split(columns, columns.shape[-1] // units, axis=-1)
    return tf.concat([parts[i] for i in order], axis=-1)


def _groups_of_sites(cell, apart=False):
    """The sites that see one and the same tensor, together: found by running the equations once.

    Those that no state meets come last. `apart` puts each of the others in a group of its own.
    """
    operands, groups = [], []

    def recurrent(site, v=None, peephole=None):
        for operand, group in zip(operands, groups, strict=True):
            if operand is v and not (apart and v is not None):
                group.append(site)
                break
        else:
            operands.append(v)
            groups.append([site])
        z = states[0] if v is None else v
        return z if peephole is None else z + peephole

    with tf.Graph().as_default():
        states = [tf.zeros((1, size), cell.compute_dtype) for size in cell.state_size]
        new = cell.equations(recurrent, *states)
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
    by_operand = sorted(zip(operands, groups, strict=True), key=lambda pair: pair[0] is None)
    return [tuple(sorted(group, key=cell.sites.index)) for _, group in by_operand]


def _require(cell, met, expected):
    if not met:
        raise ValueError(f"{type(cell).__name__}.equations: expected {expected}.")


class _Loop:
    """The two loops over a cell's equations, forward and back, for given recurrent weights."""

    def __init__(self, cell, groups, kept, recurrent_kernel, peephole=None):
        self.cell = cell
        self.groups = groups
        self.kept = kept
        self.widths = [len(group) * cell.units for group in groups]
        met = [
            width
            for g, width in zip(groups, self.widths, strict=True)
            if g[0] not in cell.input_only
        ]
        self.kernels = tf.split(recurrent_kernel, met, axis=-1)
        self.peephole = peephole

    def forward(self, projected, states, mask):
        """Every state, the first included, `(steps + 1, batch, units)`, and every group's z."""
        steps = tf.shape(projected)[0]
        x = tf.TensorArray(projected.dtype, steps).unstack(projected)
        mask = _as_array(mask)
        kept_states = [_array_of(state, steps + 1).write(0, state) for state in states]
        kept_z = [tf.TensorArray(projected.dtype, steps) for _ in self.groups]

        def step(t, states, kept_states, kept_z):
            sites = _Sites(self, tf.split(x.read(t), self.widths, axis=-1))
            new = self.cell.equations(sites, *states)
            if mask is not None:
                keep = mask.read(t)
                new = [tf.where(keep, n, s) for n, s in zip(new, states, strict=True)]
            kept_states = [k.write(t + 1, n) for k, n in zip(kept_states, new, strict=True)]
            kept_z = [k.write(t, z) for k, z in zip(kept_z, sites.z, strict=True)]
            return t + 1, list(new), kept_states, kept_z

        *_, kept_states, kept_z = tf.while_loop(
            lambda t, *_: t < steps, step, [0, list(states), kept_states, kept_z]
        )
        return [k.stack() for k in kept_states], [k.stack() for k in kept_z]

    def backward(self, sequences, z, mask, d_outputs, d_last):
        """Gradients of `projected`, the recurrent kernel, the initial states and the peepholes."""
        steps = tf.shape(d_outputs)[0]
        states = [_as_array(sequence[:-1]) for sequence in sequences]
        z, mask, d_outputs = [_as_array(part) for part in z], _as_array(mask), _as_array(d_outputs)
        kept_dz = [_array_of(d_last[0], steps) for _ in self.groups]
        kept_v = [_array_of(d_last[0], steps) for _ in self.kernels]
        d_peephole = [] if self.peephole is None else [tf.zeros_like(self.peephole)]

        def step(t, d_states, d_peephole, kept_dz, kept_v):
            d_states = [d_states[0] + d_outputs.read(t), *d_states[1:]]
            passed_on = None
            if mask is not None:
                keep = mask.read(t)
                passed_on = [tf.where(keep, tf.zeros_like(d), d) for d in d_states]
                d_states = [tf.where(keep, d, tf.zeros_like(d)) for d in d_states]
            before = [s.read(t) for s in states]
            sites = _StoredSites(self, [part.read(t) for part in z])
            d_before, dz, d_weights = self._pull_back(sites, before, d_states)
            if passed_on is not None:
                d_before = [d + p for d, p in zip(d_before, passed_on, strict=True)]
            d_peephole = [d + w for d, w in zip(d_peephole, d_weights, strict=True)]
            kept_dz = [k.write(t, dz) for k, dz in zip(kept_dz, dz, strict=True)]
            kept_v = [k.write(t, v) for k, v in zip(kept_v, sites.v, strict=True)]
            return t - 1, d_before, d_peephole, kept_dz, kept_v

        _, d_initial, d_peephole, kept_dz, kept_v = tf.while_loop(
            lambda t, *_: t >= 0, step, [steps - 1, list(d_last), d_peephole, kept_dz, kept_v]
        )
        dz = [k.stack() for k in kept_dz]
        met = dz[: len(kept_v)]
        d_kernel = [_product_over_steps(v.stack(), d) for v, d in zip(kept_v, met, strict=True)]
        return tf.concat(dz, -1), tf.concat(d_kernel, -1), *d_initial, *d_peephole

    def _pull_back(self, sites, before, d_states):
        """The vector-Jacobian product of one step, asked of the cell's own equations.

        Returns:
            Gradients of the states before the step, of every group's z, and of the peepholes.
        """
        weights = [] if self.peephole is None else [self.peephole]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*before, *sites.x, *weights])
            new = self.cell.equations(sites, *before)
        return tape.gradient(
            list(new),
            (before, sites.x, weights),
            output_gradients=d_states,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )


class _Sites:
    """`recurrent` in a cell's equations, for one step forward; keeps every group's z."""

    def __init__(self, loop, x):
        self.loop = loop
        self.x = x
        self.z = [None] * len(x)

    def __call__(self, site, v=None, peephole=None):
        loop = self.loop
        number, group = next((n, g) for n, g in enumerate(loop.groups) if site in g)
        if self.z[number] is None and v is None:
            self.z[number] = self.x[number]
        elif self.z[number] is None:
            self.z[number] = self.meet(number, v * loop.kept[site] if loop.kept else v)
        units = loop.cell.units
        start = group.index(site) * units
        z = self.z[number]
        z = z if len(group) == 1 else z[:, start : start + units]
        if peephole is None:
            return z
        return z + loop.peephole[loop.cell.peephole_sites.index(site)] * peephole

    def meet(self, number, v):
        """v meets the weights of a group."""
        return self.x[number] + tf.matmul(v, self.loop.kernels[number])


class _StoredSites(_Sites):
    """`recurrent` for one step back: z is known, and its gradient is what one wants to know."""

    def __init__(self, loop, z):
        super().__init__(loop, z)
        self.v = [None] * len(loop.kernels)

    def meet(self, number, v):
        self.v[number] = v

        @tf.custom_gradient
        def stored(v, z):  # noqa: ARG001  (z was computed from v on the way forward)
            def gradient(dz):
                return tf.matmul(dz, self.loop.kernels[number], transpose_b=True), dz

            return tf.identity(z), gradient

        return stored(v, self.x[number])


def _as_array(sequence):
    if sequence is None:
        return None
    return tf.TensorArray(sequence.dtype, tf.shape(sequence)[0]).unstack(sequence)


def _array_of(like, size):
    return tf.TensorArray(like.dtype, size)


def _product_over_steps(v, dz):
    """Sum over steps and batch of vᵀ dz, as one product."""
    v = tf.reshape(v, (-1, v.shape[-1]))
    return tf.matmul(v, tf.reshape(dz, (-1, dz.shape[-1])), transpose_a=True)
