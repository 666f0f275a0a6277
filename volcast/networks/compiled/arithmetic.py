"""The arithmetic inside the kernel: matrix products, gates, dropout and Adam on float32, compiled by Numba.

Loops are written so that the compiler turns them into vector instructions: no loop writes to two interleaved parts of
one array, since it could then not tell that its iterations are independent.
"""

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "activate", "activate_gru", "adam_step", "add_product", "compiled", "drop", "mixed", "set_rows", "through_gates",
    "through_gru_gates", "transpose",
]  # fmt: skip

_ROWS = 8
_LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
# Not "fast", which promises that there are no infinities and NaN: a training that diverges must be seen to.
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


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


@compiled
def add_product(c, a, b):
    """``c += a @ b``, shapes (m, n), (m, k), (k, n); n is a multiple of the vector's lanes and k at least 1."""
    rows, columns = c.shape
    whole = rows - rows % _ROWS
    for j in range(0, columns, _LANES):
        for i in range(0, whole, _ROWS):
            _tall_tile(c, a, b, i, j)
        for i in range(whole, rows):
            _flat_tile(c, a, b, i, j)


@compiled
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


@compiled
def _sigmoid(x):
    return _HALF * _tanh(_HALF * x) + _HALF


@compiled
def _apply_sigmoid(matrix, first, count):
    for row in range(matrix.shape[0]):
        part = matrix[row, first : first + count]
        for column in range(count):
            part[column] = _sigmoid(part[column])


@compiled
def _apply_tanh(matrix, first, count):
    for row in range(matrix.shape[0]):
        part = matrix[row, first : first + count]
        for column in range(count):
            part[column] = _tanh(part[column])


@compiled
def activate(gates, cells_before, cells, states):
    """One time step: sums in `gates` (rows, 4 units) become gates; cells and states (rows, units) follow."""
    rows, units = states.shape
    _apply_sigmoid(gates, 0, 2 * units)
    _apply_tanh(gates, 2 * units, units)
    _apply_sigmoid(gates, 3 * units, units)
    for row in range(rows):
        for u in range(units):
            entering, forget = gates[row, u], gates[row, units + u]
            candidate, leaving = gates[row, 2 * units + u], gates[row, 3 * units + u]
            cell = forget * cells_before[row, u] + entering * candidate
            cells[row, u] = cell
            states[row, u] = leaving * _tanh(cell)


@compiled
def through_gates(gates, cells_before, cells, d_states, scratch):
    """One time step backwards: `gates` become the loss's derivatives by their sums.

    `scratch` has shape (5, rows, units); its first part holds the derivatives by the cells, and then those by the
    cells of the step before.
    """
    rows, units = d_states.shape
    d_cells, d_entering, d_kept = scratch[0], scratch[1], scratch[2]
    d_candidate, d_leaving = scratch[3], scratch[4]
    for row in range(rows):
        for u in range(units):
            entering, forget = gates[row, u], gates[row, units + u]
            candidate, leaving = gates[row, 2 * units + u], gates[row, 3 * units + u]
            squashed = _tanh(cells[row, u])
            d_state = d_states[row, u]
            d_cell = d_cells[row, u] + d_state * leaving * (_ONE - squashed * squashed)
            d_entering[row, u] = d_cell * candidate * entering * (_ONE - entering)
            d_kept[row, u] = d_cell * cells_before[row, u] * forget * (_ONE - forget)
            d_candidate[row, u] = d_cell * entering * (_ONE - candidate * candidate)
            d_leaving[row, u] = d_state * squashed * leaving * (_ONE - leaving)
            d_cells[row, u] = d_cell * forget
    for gate in range(4):
        for row in range(rows):
            for u in range(units):
                gates[row, gate * units + u] = scratch[gate + 1, row, u]


@compiled
def activate_gru(gates, states_before, states):
    """One time step of a GRU: sums in `gates` (rows, 4 units) become gates; states (rows, units) follow.

    Of the gates the first says what stays of the state, the second how much of it the candidate sees. The third is the
    candidate, before that its input's share, and the last what the state before adds to it, unweighted.
    """
    rows, units = states.shape
    _apply_sigmoid(gates, 0, 2 * units)
    for row in range(rows):
        candidate = gates[row, 2 * units : 3 * units]
        for u in range(units):
            candidate[u] = _tanh(candidate[u] + gates[row, units + u] * gates[row, 3 * units + u])
    for row in range(rows):
        for u in range(units):
            staying, candidate_now = gates[row, u], gates[row, 2 * units + u]
            states[row, u] = staying * states_before[row, u] + (_ONE - staying) * candidate_now


@compiled
def through_gru_gates(gates, states_before, d_states, scratch):
    """One time step of a GRU backwards: `gates` become the loss's derivatives by their sums.

    The first part of `scratch` (5, rows, units) becomes what the state before gets past the gates.
    """
    rows, units = d_states.shape
    d_before, d_staying, d_seen = scratch[0], scratch[1], scratch[2]
    d_candidate, d_added = scratch[3], scratch[4]
    for row in range(rows):
        for u in range(units):
            staying, seen = gates[row, u], gates[row, units + u]
            candidate, added = gates[row, 2 * units + u], gates[row, 3 * units + u]
            d_state = d_states[row, u]
            d_sum = d_state * (_ONE - staying) * (_ONE - candidate * candidate)
            d_before[row, u] = d_state * staying
            d_staying[row, u] = d_state * (states_before[row, u] - candidate) * staying * (_ONE - staying)
            d_seen[row, u] = d_sum * added * seen * (_ONE - seen)
            d_candidate[row, u] = d_sum
            d_added[row, u] = d_sum * seen
    for gate in range(4):
        for row in range(rows):
            for u in range(units):
                gates[row, gate * units + u] = scratch[gate + 1, row, u]


@compiled
def set_rows(matrix, values):
    """Every row of `matrix` becomes `values`."""
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            matrix[row, column] = values[column]


@compiled
def transpose(out, matrix):
    """``out = matrix.T``, written out, so that its rows are contiguous."""
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[j, i] = matrix[i, j]


@compiled
def mixed(value):
    """A well mixed 32-bit number of another (the finalizer of MurmurHash3)."""
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value = np.uint32(value ^ (value >> np.uint32(13)))
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@compiled
def drop(out, values, rate, key):
    """Inverted dropout, `out` may be `values`: the same `key` drops the same places, forwards and backwards."""
    rows, columns = values.shape
    if rate <= _ZERO:
        out[:] = values
        return
    scale = _ONE / (_ONE - rate)
    threshold = np.uint32(rate * np.float32(4294967040.0))
    for row in range(rows):
        row_key = mixed(np.uint32(key + np.uint32(row) * np.uint32(0x9E3779B9)))
        for column in range(columns):
            stays = mixed(np.uint32(row_key ^ np.uint32(column))) >= threshold
            out[row, column] = values[row, column] * scale if stays else _ZERO


@compiled
def adam_step(parameters, gradient, moments, alpha, share, share_squares, epsilon):
    """One step of Adam, arranged as Keras does: bias correction in `alpha`, `epsilon` outside of it."""
    means, squares = moments[0], moments[1]
    for i in range(parameters.shape[0]):
        slope = gradient[i]
        mean = means[i] + (slope - means[i]) * share
        square = squares[i] + (slope * slope - squares[i]) * share_squares
        means[i], squares[i] = mean, square
        parameters[i] -= mean * alpha / (np.sqrt(square) + epsilon)
