"""Gradient steps of a stack of LSTM layers, compiled for this machine's vector units by Numba: float32, one thread.

Keras spends nine tenths of a small network's training outside its arithmetic. Here a whole step (forward, backward,
Adam) is one compiled call that allocates nothing. All arrays are C-contiguous float32; units are padded with zeros to
whole vectors, which changes no result: a padded unit's cell, state and gradients stay zero.

`shape` describes a network: ``[features, side inputs, padded units of layer 0, of layer 1, ...]``. Its parameters are
one flat vector: for each layer the kernel (inputs, 4 units), the recurrent kernel (units, 4 units) and the bias
(4 units), gates in Keras' order (input, forget, candidate, output), then the dense layer's weights and its bias.
Compiled code is kept on disk, so that only the first use on a machine waits for the compiler.
"""

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "CHUNK", "UNIT_MULTIPLE", "batch_gradient", "dropout_scales", "loss_sum", "parameter_count", "predict",
    "space_needed", "train_step",
]  # fmt: skip

CHUNK = 16
"""Windows that are worked on together: few enough for the cache, whatever the batch."""
UNIT_MULTIPLE = 16
"""Units of a layer are padded to a multiple of this."""

_ROWS = 8
_LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
# All of "fast" but the promise that there are no infinities and NaN: a training that diverges must be seen to.
_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp", "afn"})

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


def _product_tile(rows):
    """``c[i : i + rows, j : j + _LANES] += a[i : i + rows] @ b[:, j : j + _LANES]``, the sums held in registers.

    The compiler finds vectors in plain loops, but not that the tile of `c` can stay in registers: twice the speed.
    """

    @intrinsic
    def tile(typing_context, c, a, b, i, j):
        def generate(context, builder, signature, arguments):
            intp = context.get_value_type(types.intp)
            vector = ir.VectorType(ir.FloatType(), _LANES)
            number = lambda value: ir.Constant(intp, value)  # noqa: E731
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
            ]
            strides = [cgutils.unpack_tuple(builder, array.strides, 2) for array in arrays]
            (c_row, c_column), (a_row, a_column), (b_row, b_column) = strides
            depth = cgutils.unpack_tuple(builder, arrays[2].shape, 2)[0]
            row, column = arguments[3:]

            def address(array, *offsets):
                place = builder.ptrtoint(array.data, intp)
                for index, stride in offsets:
                    place = builder.add(place, builder.mul(index, stride))
                return place

            def load(place, kind):
                return builder.load(builder.inttoptr(place, kind.as_pointer()), align=4)

            c_first = address(arrays[0], (row, c_row), (column, c_column))
            c_places = [builder.add(c_first, builder.mul(c_row, number(r))) for r in range(rows)]
            began = [load(place, vector) for place in c_places]
            a_first, b_first = address(arrays[1], (row, a_row)), address(arrays[2], (column, b_column))

            before, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
            builder.branch(body)
            builder.position_at_end(body)
            k, a_place, b_place = (builder.phi(intp) for _ in range(3))
            sums = [builder.phi(vector) for _ in range(rows)]
            b_vector = load(b_place, vector)
            undefined, lanes = ir.Constant(vector, ir.Undefined), ir.VectorType(ir.IntType(32), _LANES)
            for r, running in enumerate(sums):
                scalar = load(builder.add(a_place, builder.mul(a_row, number(r))), ir.FloatType())
                first_lane = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
                spread = builder.shuffle_vector(first_lane, undefined, ir.Constant(lanes, None))
                total = builder.fadd(builder.fmul(spread, b_vector, flags=("contract",)), running, flags=("contract",))
                running.add_incoming(began[r], before)
                running.add_incoming(total, body)
                sums[r] = total
            for phi, first, step in (
                (k, number(0), number(1)),
                (a_place, a_first, a_column),
                (b_place, b_first, b_row),
            ):
                following = builder.add(phi, step)
                phi.add_incoming(first, before)
                phi.add_incoming(following, body)
                if phi is k:
                    more = builder.icmp_signed("<", following, depth)
            builder.cbranch(more, body, after)
            builder.position_at_end(after)
            for place, total in zip(c_places, sums, strict=True):
                builder.store(total, builder.inttoptr(place, vector.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(c, a, b, i, j), generate

    return tile


_tall_tile, _flat_tile = _product_tile(_ROWS), _product_tile(1)


@_compiled
def _add_product(c, a, b):
    """``c += a @ b``, shapes (m, n), (m, k), (k, n); n is a multiple of the vector's lanes and k at least 1."""
    rows, columns = c.shape
    whole = rows - rows % _ROWS
    for j in range(0, columns, _LANES):
        for i in range(0, whole, _ROWS):
            _tall_tile(c, a, b, i, j)
        for i in range(whole, rows):
            _flat_tile(c, a, b, i, j)


@_compiled
def _tanh(x):
    """Rational approximation, within 3 units in the last place: plain arithmetic, so that loops over it vectorize."""
    x = np.float32(7.9053111) if x > np.float32(7.9053111) else x
    x = np.float32(-7.9053111) if x < np.float32(-7.9053111) else x
    s = x * x
    p = np.float32(-2.76076847742355e-16) * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06) * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


@_compiled
def _sigmoid(x):
    return _HALF * _tanh(_HALF * x) + _HALF


@_compiled
def _activate(gates, cells_before, cells, states):
    """One time step: sums in `gates` (rows, 4 units) become gates; cells and states (rows, units) follow."""
    rows, units = states.shape
    for row in range(rows):
        gate = gates[row]
        for u in range(units):
            entering = _sigmoid(gate[u])
            kept = _sigmoid(gate[units + u])
            candidate = _tanh(gate[2 * units + u])
            leaving = _sigmoid(gate[3 * units + u])
            cell = kept * cells_before[row, u] + entering * candidate
            gate[u], gate[units + u], gate[2 * units + u], gate[3 * units + u] = entering, kept, candidate, leaving
            cells[row, u] = cell
            states[row, u] = leaving * _tanh(cell)


@_compiled
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
        for row in range(rows):
            now[row] = bias
        _add_product(now, x[first:last], kernel)
        if first:
            _add_product(now, states[first:last], recurrent)
        _activate(now, cells[first:last], cells[last:following], states[last:following])


@_compiled
def _through_gates(gates, cells_before, cells, d_states, d_cells):
    """One time step backwards: `gates` become the loss's derivatives by their sums, `d_cells` the step before's."""
    rows, units = d_states.shape
    for row in range(rows):
        gate = gates[row]
        for u in range(units):
            entering, kept = gate[u], gate[units + u]
            candidate, leaving = gate[2 * units + u], gate[3 * units + u]
            squashed = _tanh(cells[row, u])
            d_state = d_states[row, u]
            d_cell = d_cells[row, u] + d_state * leaving * (_ONE - squashed * squashed)
            gate[u] = d_cell * candidate * entering * (_ONE - entering)
            gate[units + u] = d_cell * cells_before[row, u] * kept * (_ONE - kept)
            gate[2 * units + u] = d_cell * entering * (_ONE - candidate * candidate)
            gate[3 * units + u] = d_state * squashed * leaving * (_ONE - leaving)
            d_cells[row, u] = d_cell * kept


@_compiled
def _backward_layer(x, recurrent_t, gates, cells, states, d_states, d_cells, d_kernel, d_recurrent, d_bias, rows):
    """Back through all time steps; `gates` become derivatives, `d_states` (steps * rows, units) is used up."""
    d_cells[:] = _ZERO
    steps = gates.shape[0] // rows
    for step in range(steps - 1, -1, -1):
        first, last, following = step * rows, (step + 1) * rows, (step + 2) * rows
        now = gates[first:last]
        _through_gates(now, cells[first:last], cells[last:following], d_states[first:last], d_cells)
        if first:
            _add_product(d_states[first - rows : first], now, recurrent_t)
    _add_product(d_kernel, x.T, gates)
    _add_product(d_recurrent, states[rows : gates.shape[0]].T, gates[rows:])
    for row in range(gates.shape[0]):
        d_bias += gates[row]


@_compiled
def _transpose(out, matrix):
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[j, i] = matrix[i, j]


@_compiled
def _mixed(value):
    """A well mixed 32-bit number of another (the finalizer of MurmurHash3)."""
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value = np.uint32(value ^ (value >> np.uint32(13)))
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@_compiled
def _drop(out, values, rate, key):
    """Inverted dropout, `out` may be `values`: the same `key` drops the same places, forwards and backwards."""
    rows, columns = values.shape
    if rate <= _ZERO:
        out[:] = values
        return
    scale = _ONE / (_ONE - rate)
    threshold = np.uint32(rate * np.float32(4294967040.0))
    for row in range(rows):
        row_key = _mixed(np.uint32(key + np.uint32(row) * np.uint32(0x9E3779B9)))
        for column in range(columns):
            kept = _mixed(np.uint32(row_key ^ np.uint32(column))) >= threshold
            out[row, column] = values[row, column] * scale if kept else _ZERO


@_compiled
def dropout_scales(rows, columns, rate, key):
    """The factors that dropout multiplies a (rows, columns) array by: 0, or 1 / (1 - rate)."""
    scales = np.ones((rows, columns), np.float32)
    _drop(scales, scales, np.float32(rate), np.uint32(key))
    return scales


@_compiled
def parameter_count(shape):
    """Length of the parameter vector of a network of `shape`."""
    inputs, total = shape[0], 0
    for units in shape[2:]:
        total += (inputs + units + 1) * 4 * units
        inputs = units
    return total + inputs + shape[1] + 1


@_compiled
def space_needed(shape, steps):
    """Length of the working space for windows of `steps` time steps."""
    rows = steps * CHUNK
    total = rows * shape[0]
    for units in shape[2:]:
        # Gates; cells and states with a step before the first; dropped states, their derivatives; transposed kernels.
        total += rows * 4 * units + 2 * (rows + CHUNK) * units + 2 * rows * units + CHUNK * units
        total += 4 * units * (units + max(shape[0], units, np.max(shape[2:])))
    return total


@_compiled
def _carve(vector, offset, rows, columns):
    """The next (rows, columns) matrix of a flat vector, and where the one after it begins."""
    end = offset + rows * columns
    return vector[offset:end].reshape((rows, columns)), end


@_compiled
def _layer(vector, offset, inputs, units):
    """Kernel, recurrent kernel and bias of the layer that begins at `offset`, and where the next one begins."""
    kernel, offset = _carve(vector, offset, inputs, 4 * units)
    recurrent, offset = _carve(vector, offset, units, 4 * units)
    return kernel, recurrent, vector[offset : offset + 4 * units], offset + 4 * units


@_compiled
def _layer_space(space, offset, steps, rows, units):
    """Working arrays of a layer: gates, cells, states, dropped states, their derivatives, those of cells."""
    gates, offset = _carve(space, offset, steps * rows, 4 * units)
    cells, offset = _carve(space, offset, (steps + 1) * rows, units)
    states, offset = _carve(space, offset, (steps + 1) * rows, units)
    dropped, offset = _carve(space, offset, steps * rows, units)
    d_states, offset = _carve(space, offset, steps * rows, units)
    d_cells, offset = _carve(space, offset, rows, units)
    return gates, cells, states, dropped, d_states, d_cells, offset


@_compiled
def _layer_key(key, layer):
    return _mixed(np.uint32(key + np.uint32(layer + 1) * np.uint32(0x9E3779B9)))


@_compiled
def _forward(x, side, parameters, shape, rates, key, space, outputs):
    """Outputs (rows,) of one chunk of windows (rows, steps, features); `space` keeps what the way back needs."""
    rows, steps, features = x.shape
    flow, space_at = _carve(space, 0, steps * rows, features)
    for step in range(steps):
        for row in range(rows):
            for feature in range(features):
                flow[step * rows + row, feature] = x[row, step, feature]
    inputs, at, layers = features, 0, shape.shape[0] - 2
    for layer in range(layers):
        units = shape[2 + layer]
        kernel, recurrent, bias, at = _layer(parameters, at, inputs, units)
        gates, cells, states, dropped, _, _, space_at = _layer_space(space, space_at, steps, rows, units)
        _forward_layer(flow, kernel, recurrent, bias, gates, cells, states, rows)
        layer_key = _layer_key(key, layer)
        if layer < layers - 1:
            _drop(dropped, states[rows:], rates[layer], layer_key)
        else:
            _drop(dropped[:rows], states[steps * rows :], rates[layer], layer_key)
        flow, inputs = dropped, units
    for row in range(rows):
        total = parameters[at + inputs + side.shape[1]]
        for u in range(inputs):
            total += flow[row, u] * parameters[at + u]
        for s in range(side.shape[1]):
            total += side[row, s] * parameters[at + inputs + s]
        outputs[row] = total


@_compiled
def _backward(x, side, d_outputs, parameters, gradient, shape, rates, key, space):
    """Add to `gradient` what the chunk that `_forward` has just seen gives, from the derivatives by its outputs."""
    rows, steps, features = x.shape
    layers = shape.shape[0] - 2
    starts = np.empty((layers, 3), np.int64)
    at, space_at, inputs = 0, steps * rows * features, features
    for layer in range(layers):
        units = shape[2 + layer]
        starts[layer, 0], starts[layer, 1], starts[layer, 2] = at, space_at, inputs
        at += (inputs + units + 1) * 4 * units
        space_at += rows * steps * 4 * units + 2 * (steps + 1) * rows * units + 2 * steps * rows * units + rows * units
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
    _drop(last_states, last_states, rates[layers - 1], _layer_key(key, layers - 1))
    for layer in range(layers - 1, -1, -1):
        at, here, inputs = starts[layer]
        units = shape[2 + layer]
        kernel, recurrent, _, _ = _layer(parameters, at, inputs, units)
        d_kernel, d_recurrent, d_bias, _ = _layer(gradient, at, inputs, units)
        gates, cells, states, _, d_states, d_cells, _ = _layer_space(space, here, steps, rows, units)
        turned, scratch = _carve(space, space_at, 4 * units, units)
        _transpose(turned, recurrent)
        if layer == 0:
            below, _ = _carve(space, 0, steps * rows, features)
            _backward_layer(below, turned, gates, cells, states, d_states, d_cells, d_kernel, d_recurrent, d_bias, rows)
        else:
            _, _, _, below, d_below, _, _ = _layer_space(space, starts[layer - 1, 1], steps, rows, inputs)
            _backward_layer(below, turned, gates, cells, states, d_states, d_cells, d_kernel, d_recurrent, d_bias, rows)
            turned, _ = _carve(space, scratch, 4 * units, inputs)
            _transpose(turned, kernel)
            d_below[:] = _ZERO
            _add_product(d_below, gates, turned)
            _drop(d_below, d_below, rates[layer - 1], _layer_key(key, layer - 1))


@_compiled
def _losses(outputs, targets, weights, spread, share, d_outputs):
    """Sum of weighted losses of a chunk; `d_outputs` become the derivatives of `share` times it.

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
        total += weights[row] * loss
        d_outputs[row] = np.float32(share * weights[row] * slope)
    return total


@_compiled
def loss_sum(outputs, targets, weights, spread):
    """Sum of the weighted losses of `outputs` (n,)."""
    return _losses(outputs, targets, weights, spread, 0.0, np.empty_like(outputs))


@_compiled
def _adam(parameters, gradient, moments, alpha, share, share_squares, epsilon):
    """One step of Adam, arranged as Keras does: bias correction in `alpha`, `epsilon` outside of it."""
    means, squares = moments[0], moments[1]
    for i in range(parameters.shape[0]):
        slope = gradient[i]
        mean = means[i] + (slope - means[i]) * share
        square = squares[i] + (slope * slope - squares[i]) * share_squares
        means[i], squares[i] = mean, square
        parameters[i] -= mean * alpha / (np.sqrt(square) + epsilon)


@_compiled
def batch_gradient(x, side, targets, weights, parameters, gradient, shape, rates, spread, key, space):
    """Fill `gradient` with that of the mean loss of a batch; returns the sum of its weighted losses."""
    gradient[:] = _ZERO
    outputs, d_outputs = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    count, total = x.shape[0], 0.0
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count)
        rows = last - first
        chunk, chunk_side = x[first:last], side[first:last]
        chunk_key = _mixed(np.uint32(key + np.uint32(first)))
        _forward(chunk, chunk_side, parameters, shape, rates, chunk_key, space, outputs)
        total += _losses(
            outputs[:rows], targets[first:last], weights[first:last], spread, 1.0 / count, d_outputs[:rows]
        )
        _backward(chunk, chunk_side, d_outputs, parameters, gradient, shape, rates, chunk_key, space)
    return total


@_compiled
def train_step(x, side, targets, weights, parameters, gradient, moments, shape, rates, spread, adam, key, space):
    """One gradient step on a batch, in place; returns the sum of the weighted losses before it.

    Parameters
    ----------
    x, side
        Windows (n, steps, features) and what stands beside the last state (n, side inputs).
    targets, weights
        Shape (n,).
    parameters, gradient, moments
        Shapes (p,), (p,) and (2, p).
    shape, rates
        The network, and the dropout rate after each of its layers.
    spread
        0 for the squared error, else see `_losses`.
    adam
        Step length with its bias correction, weight of a new slope in the mean and in the mean square, epsilon.
    key
        Chooses what dropout drops.
    space
        Working space of `space_needed` floats.
    """
    total = batch_gradient(x, side, targets, weights, parameters, gradient, shape, rates, spread, key, space)
    _adam(parameters, gradient, moments, adam[0], adam[1], adam[2], adam[3])
    return total


@_compiled
def predict(x, side, parameters, shape, space, outputs):
    """Fill `outputs` (n,) with the network's, nothing dropped."""
    rates = np.zeros(shape.shape[0] - 2, np.float32)
    for first in range(0, x.shape[0], CHUNK):
        last = min(first + CHUNK, x.shape[0])
        _forward(x[first:last], side[first:last], parameters, shape, rates, np.uint32(0), space, outputs[first:last])
