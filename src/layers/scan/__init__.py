"""What runs any cell through time, fast.

The readable form of a cell is `Cell.call`, one step; `keras.layers.RNN` over it is the slow
reference in the tests. `scan` runs the same `Cell.equations` with as little work in the loop over
time as possible:

1. The input's part of every site, `W x + b`, is one product for many steps.
2. The weights' gradients are one product for many steps. The backward loop only stores the gradient
   dz<t> of each site; then dU = Vᵀ dZ, where v<t> is what met the site's weights at step t.
3. The loops are compiled by XLA, in chunks of steps.

Why chunks: XLA compiles for fixed shapes. A chunk has the same shape whatever the number of steps
(the last one just stops early), so a layer compiles once for each batch size. If the number of
steps is known while tracing, a trace is of that number alone, and its chunks are of one length. A
chunk's tensors stay in the processor's caches. And while the loop of one chunk runs on one core,
the products of its neighbors run on the others. Inference has next to no such products beside a
wide layer's loop, so there the two halves of a batch run side by side.

Modules:
    custom_gradient: `scan`, as one operation with a gradient.
    chunk_loops: the loops over chunks, forward and backward.
    chunks: how a sequence is cut into chunks, and which chunks are compiled.
    cell_loops: the loops over the steps of a chunk, forward and backward.
    sites: `recurrent` in a cell's equations, for one step of each of these loops.
    cell_structure: what the equations do with their states; rejects what cannot be scanned.
    shared_results: results that XLA shall compute once.
    programs: traced functions, shared by layers that compute the same.
    size_limits: for how many batch sizes and lengths a layer compiles.
    masking: gradients at masked steps.
    parallel: a scan of its own for units that are linear in their state.
"""

from unrolled.layers.scan.custom_gradient import scan

__all__ = ["scan"]
