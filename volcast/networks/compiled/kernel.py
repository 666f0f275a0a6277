"""Gradient steps of a stack of LSTM or GRU layers, compiled for this machine's vector units by Numba, float32.

Keras spends nine tenths of a small network's training outside its arithmetic. Here a whole step (forward, backward,
Adam) is one compiled call in one thread that allocates next to nothing. All arrays are C-contiguous float32; units are
padded with zeros to whole vectors, which changes no result: a padded unit's cell, state and gradients stay zero.

`shape` describes a network: ``[cell, features, side inputs, padded units of layer 0, of layer 1, ...]``. Its parameters
are one flat vector: for each layer the kernel (inputs, 4 units), the recurrent kernel (units, 4 units) and the bias
(4 units), gates in Keras' order (input, forget, candidate, output), then the dense layer's weights and its bias. A GRU
(Cho et al. 2014, *EMNLP*; as Keras has it, the reset behind the product) has four parts, too: update, reset, the
candidate's input and what the state adds to it. The weights that one of the last two has none of are zeros, and its
bias (6 units) is Keras': the input's three and the state's three.
Compiled code is kept on disk, so that only the first use on a machine waits for the compiler.
"""

import numpy as np

from volcast.networks.compiled.arithmetic import (
    activate,
    activate_gru,
    add_product,
    compiled,
    drop,
    mixed,
    set_rows,
    through_gates,
    through_gru_gates,
    transpose,
)

__all__ = [
    "CHUNK", "GRU", "LSTM", "UNIT_MULTIPLE", "batch_gradient", "dropout_scales", "loss_sum", "parameter_count",
    "predict", "space_needed",
]  # fmt: skip

CHUNK = 16
"""Windows that are worked on together: few enough for the cache, whatever the batch."""
UNIT_MULTIPLE = 16
"""Units of a layer are padded to a multiple of this."""

LSTM, GRU = 0, 1
"""Numbers of the cells."""

_ZERO = np.float32(0)


@compiled
def _forward_layer(x, kernel, recurrent, bias, gates, cells, states, rows):
    """All time steps of one layer.

    Time-major: `x` (steps * rows, inputs), `gates` (steps * rows, 4 units); `cells` and `states` hold one step more,
    the zeros before the first.
    """
    cells[:rows] = _ZERO
    states[:rows] = _ZERO
    for first in range(0, gates.shape[0], rows):
        last, following = first + rows, first + 2 * rows
        now = gates[first:last]
        set_rows(now, bias)
        add_product(now, x[first:last], kernel)
        if first:
            add_product(now, states[first:last], recurrent)
        activate(now, cells[first:last], cells[last:following], states[last:following])


@compiled
def _forward_gru_layer(x, kernel, recurrent, bias, gates, states, rows):
    """The same of a layer of GRUs, which have no cells beside their states."""
    states[:rows] = _ZERO
    units = states.shape[1]
    sums = np.empty(4 * units, np.float32)
    sums[: 2 * units] = bias[: 2 * units] + bias[3 * units : 5 * units]
    sums[2 * units : 3 * units] = bias[2 * units : 3 * units]
    sums[3 * units :] = bias[5 * units :]
    for first in range(0, gates.shape[0], rows):
        last, following = first + rows, first + 2 * rows
        now = gates[first:last]
        set_rows(now, sums)
        add_product(now, x[first:last], kernel)
        if first:
            add_product(now, states[first:last], recurrent)
        activate_gru(now, states[first:last], states[last:following])


@compiled
def _backward_layer(x, recurrent_t, gates, cells, states, d_states, scratch, d_kernel, d_recurrent, d_bias, rows):
    """Back through all time steps; `gates` become derivatives, `d_states` (steps * rows, units) is used up."""
    scratch[0] = _ZERO
    steps = gates.shape[0] // rows
    for step in range(steps - 1, -1, -1):
        first, last, following = step * rows, (step + 1) * rows, (step + 2) * rows
        now = gates[first:last]
        through_gates(now, cells[first:last], cells[last:following], d_states[first:last], scratch)
        if first:
            add_product(d_states[first - rows : first], now, recurrent_t)
    add_product(d_kernel, x.T, gates)
    add_product(d_recurrent, states[rows : gates.shape[0]].T, gates[rows:])
    for row in range(gates.shape[0]):
        d_bias += gates[row]


@compiled
def _backward_gru_layer(x, recurrent_t, gates, states, d_states, scratch, d_kernel, d_recurrent, d_bias, rows):
    """The same of a layer of GRUs."""
    steps, units = gates.shape[0] // rows, states.shape[1]
    for step in range(steps - 1, -1, -1):
        first, last = step * rows, (step + 1) * rows
        now = gates[first:last]
        through_gru_gates(now, states[first:last], d_states[first:last], scratch)
        if first:
            d_states[first - rows : first] += scratch[0, :rows]
            add_product(d_states[first - rows : first], now, recurrent_t)
    add_product(d_kernel, x.T, gates)
    add_product(d_recurrent, states[rows : gates.shape[0]].T, gates[rows:])
    # The input has no weights of what the state adds to the candidate, and the state none of the input's share.
    d_kernel[:, 3 * units :] = _ZERO
    d_recurrent[:, 2 * units : 3 * units] = _ZERO
    for row in range(gates.shape[0]):
        d_bias[: 3 * units] += gates[row, : 3 * units]
        d_bias[3 * units : 5 * units] += gates[row, : 2 * units]
        d_bias[5 * units :] += gates[row, 3 * units :]


@compiled
def dropout_scales(rows, columns, rate, key):
    """The factors that dropout multiplies a (rows, columns) array by: 0, or 1 / (1 - rate)."""
    scales = np.ones((rows, columns), np.float32)
    drop(scales, scales, np.float32(rate), np.uint32(key))
    return scales


@compiled
def parameter_count(shape):
    """Length of the parameter vector of a network of `shape`."""
    inputs, total = shape[1], 0
    for units in shape[3:]:
        total += _layer_length(shape[0], inputs, units)
        inputs = units
    return total + inputs + shape[2] + 1


@compiled
def _layer_length(cell, inputs, units):
    return ((inputs + units) * 4 + _biases(cell)) * units


@compiled
def _biases(cell):
    """How many biases a unit has."""
    return 6 if cell == GRU else 4


@compiled
def space_needed(shape, steps):
    """Length of the working space for windows of `steps` time steps."""
    rows = steps * CHUNK
    total = rows * shape[1]
    for units in shape[3:]:
        total += _layer_space_needed(steps, CHUNK, units)
    # Transposed kernels of the layer that is worked on.
    widest = np.max(shape[3:])
    return total + 8 * widest * widest


@compiled
def _layer_space_needed(steps, rows, units):
    """What `_layer_space` carves: gates, cells and states with a step before the first, two more, scratch."""
    return (4 * steps + 2 * (steps + 1) + 2 * steps + 5) * rows * units


@compiled
def _carve(vector, offset, rows, columns):
    """The next (rows, columns) matrix of a flat vector, and where the one after it begins."""
    end = offset + rows * columns
    return vector[offset:end].reshape((rows, columns)), end


@compiled
def _layer(vector, offset, cell, inputs, units):
    """Kernel, recurrent kernel and bias of the layer that begins at `offset`, and where the next one begins."""
    kernel, offset = _carve(vector, offset, inputs, 4 * units)
    recurrent, offset = _carve(vector, offset, units, 4 * units)
    end = offset + _biases(cell) * units
    return kernel, recurrent, vector[offset:end], end


@compiled
def _layer_space(space, offset, steps, rows, units):
    """Working arrays of a layer: gates, cells, states, dropped states, their derivatives, scratch."""
    gates, offset = _carve(space, offset, steps * rows, 4 * units)
    cells, offset = _carve(space, offset, (steps + 1) * rows, units)
    states, offset = _carve(space, offset, (steps + 1) * rows, units)
    dropped, offset = _carve(space, offset, steps * rows, units)
    d_states, offset = _carve(space, offset, steps * rows, units)
    scratch, offset = _carve(space, offset, 5 * rows, units)
    return gates, cells, states, dropped, d_states, scratch.reshape(5, rows, units), offset


@compiled
def _layer_key(key, layer):
    return mixed(np.uint32(key + np.uint32(layer + 1) * np.uint32(0x9E3779B9)))


@compiled
def _forward(x, side, parameters, shape, rates, key, space, outputs):
    """Outputs (rows,) of one chunk of windows (rows, steps, features); `space` keeps what the way back needs."""
    rows, steps, features = x.shape
    flow, space_at = _carve(space, 0, steps * rows, features)
    for step in range(steps):
        for row in range(rows):
            for feature in range(features):
                flow[step * rows + row, feature] = x[row, step, feature]
    cell, inputs, at, layers = shape[0], features, 0, shape.shape[0] - 3
    for layer in range(layers):
        units = shape[3 + layer]
        kernel, recurrent, bias, at = _layer(parameters, at, cell, inputs, units)
        gates, cells, states, dropped, _, _, space_at = _layer_space(space, space_at, steps, rows, units)
        if cell == GRU:
            _forward_gru_layer(flow, kernel, recurrent, bias, gates, states, rows)
        else:
            _forward_layer(flow, kernel, recurrent, bias, gates, cells, states, rows)
        layer_key = _layer_key(key, layer)
        if layer < layers - 1:
            drop(dropped, states[rows:], rates[layer], layer_key)
        else:
            drop(dropped[:rows], states[steps * rows :], rates[layer], layer_key)
        flow, inputs = dropped, units
    for row in range(rows):
        total = parameters[at + inputs + side.shape[1]]
        for u in range(inputs):
            total += flow[row, u] * parameters[at + u]
        for s in range(side.shape[1]):
            total += side[row, s] * parameters[at + inputs + s]
        outputs[row] = total


@compiled
def _backward(x, side, d_outputs, parameters, gradient, shape, rates, key, space):
    """Add to `gradient` what the chunk that `_forward` has just seen gives, from the derivatives by its outputs."""
    rows, steps, features = x.shape
    cell, layers = shape[0], shape.shape[0] - 3
    starts = np.empty((layers, 3), np.int64)
    at, space_at, inputs = 0, steps * rows * features, features
    for layer in range(layers):
        units = shape[3 + layer]
        starts[layer, 0], starts[layer, 1], starts[layer, 2] = at, space_at, inputs
        at += _layer_length(cell, inputs, units)
        space_at += _layer_space_needed(steps, rows, units)
        inputs = units
    _, _, _, dropped, d_states, _, _ = _layer_space(space, starts[layers - 1, 1], steps, rows, inputs)
    d_states[:] = _ZERO
    for row in range(rows):
        for u in range(inputs):
            gradient[at + u] += d_outputs[row] * dropped[row, u]
            d_states[(steps - 1) * rows + row, u] = d_outputs[row] * parameters[at + u]
        for s in range(side.shape[1]):
            gradient[at + inputs + s] += d_outputs[row] * side[row, s]
        gradient[at + inputs + side.shape[1]] += d_outputs[row]
    last_states = d_states[(steps - 1) * rows :]
    drop(last_states, last_states, rates[layers - 1], _layer_key(key, layers - 1))
    for layer in range(layers - 1, -1, -1):
        at, here, inputs = starts[layer]
        units = shape[3 + layer]
        kernel, recurrent, _, _ = _layer(parameters, at, cell, inputs, units)
        d_kernel, d_recurrent, d_bias, _ = _layer(gradient, at, cell, inputs, units)
        gates, cells, states, _, d_states, scratch, _ = _layer_space(space, here, steps, rows, units)
        turned, turned_end = _carve(space, space_at, 4 * units, units)
        transpose(turned, recurrent)
        below, _ = _carve(space, 0, steps * rows, features)
        if layer > 0:
            _, _, _, below, d_below, _, _ = _layer_space(space, starts[layer - 1, 1], steps, rows, inputs)
        if cell == GRU:
            _backward_gru_layer(below, turned, gates, states, d_states, scratch, d_kernel, d_recurrent, d_bias, rows)
        else:
            _backward_layer(below, turned, gates, cells, states, d_states, scratch, d_kernel, d_recurrent, d_bias, rows)
        if layer > 0:
            turned, _ = _carve(space, turned_end, 4 * units, inputs)
            transpose(turned, kernel)
            d_below[:] = _ZERO
            add_product(d_below, gates, turned)
            drop(d_below, d_below, rates[layer - 1], _layer_key(key, layer - 1))


@compiled
def _losses(outputs, targets, spread, share, d_outputs):
    """Sum of the losses of a chunk; `d_outputs` become the derivatives of `share` times it.

    `spread` 0 is the squared error; else QLIKE of ``exp(spread * target)`` and its forecast.
    """
    total = 0.0
    for row in range(outputs.shape[0]):
        error = np.float64(targets[row]) - np.float64(outputs[row])
        if spread > 0:
            scaled = 2.0 * spread * error
            loss, slope = np.expm1(scaled) - scaled, -2.0 * spread * np.expm1(scaled)
        else:
            loss, slope = error * error, -2.0 * error
        total += loss
        d_outputs[row] = np.float32(share * slope)
    return total


@compiled
def loss_sum(outputs, targets, spread):
    """Sum of the losses of `outputs` (n,)."""
    return _losses(outputs, targets, spread, 0.0, np.empty_like(outputs))


@compiled
def batch_gradient(x, side, targets, parameters, gradient, shape, rates, spread, key, space):
    """Fill `gradient` with that of the mean loss of a batch; returns the sum of its losses.

    Parameters
    ----------
    x, side
        Windows (n, steps, features) and what stands beside the last state (n, side inputs).
    targets
        Shape (n,).
    parameters, gradient
        Shape (p,).
    shape, rates
        The network, and the dropout rate after each of its layers.
    spread
        0 for the squared error, else see `_losses`.
    key
        Chooses what dropout drops.
    space
        Working space of `space_needed` floats.
    """
    gradient[:] = _ZERO
    outputs, d_outputs = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    count, total = x.shape[0], 0.0
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count)
        rows = last - first
        chunk, chunk_side = x[first:last], side[first:last]
        chunk_key = mixed(np.uint32(key + np.uint32(first)))
        _forward(chunk, chunk_side, parameters, shape, rates, chunk_key, space, outputs)
        total += _losses(outputs[:rows], targets[first:last], spread, 1.0 / count, d_outputs[:rows])
        _backward(chunk, chunk_side, d_outputs, parameters, gradient, shape, rates, chunk_key, space)
    return total


@compiled
def predict(x, side, parameters, shape, space, outputs):
    """Fill `outputs` (n,) with the network's, nothing dropped."""
    rates = np.zeros(shape.shape[0] - 3, np.float32)
    for first in range(0, x.shape[0], CHUNK):
        last = min(first + CHUNK, x.shape[0])
        _forward(x[first:last], side[first:last], parameters, shape, rates, np.uint32(0), space, outputs[first:last])
