"""Networks without TensorFlow: the ONNX twin computes what Keras does, and nothing else is let in."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.bars import ROOT
from volcast.errors import CorruptModelError, TrainingError, UnsafeModelError
from volcast.networks.onnx import TOLERANCE, OnnxNetwork, largest_difference, onnx_graph, serving_network

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.train

MEMORY = 20


def sequential(*units: int) -> "keras.Model":
    import keras

    layers = [keras.Input((MEMORY, 1))]
    for i, count in enumerate(units):
        layers += [keras.layers.LSTM(count, return_sequences=i < len(units) - 1), keras.layers.Dropout(0.3)]
    return keras.Sequential([*layers, keras.layers.Dense(1)])


def with_side(*units: int) -> "keras.Model":
    import keras

    window, side = keras.Input((MEMORY, 3), name="window"), keras.Input((5,), name="side")
    state = window
    for i, count in enumerate(units):
        state = keras.layers.LSTM(count, return_sequences=i < len(units) - 1)(state)
        state = keras.layers.Dropout(0.1)(state)
    both = keras.layers.Concatenate()([state, side])
    hidden = keras.layers.Dense(4, activation="relu")(both)
    return keras.Model([window, side], keras.layers.Dense(1)(hidden))


@pytest.mark.parametrize(("build", "units"), [(sequential, (7,)), (sequential, (8, 5)), (with_side, (6, 4))])
def test_the_twin_computes_what_keras_does(build: Callable[..., "keras.Model"], units: tuple[int, ...]) -> None:
    import keras

    keras.utils.set_random_seed(3)
    model = build(*units)
    for weight in model.weights:
        # Away from the initial values, where forget gates are one and biases zero.
        weight.assign(weight.numpy() + 0.2 * np.random.default_rng(0).standard_normal(weight.shape))
    twin = serving_network(model)
    random = np.random.default_rng(1)
    arrays = [random.standard_normal((10_000, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    expected = model.predict(arrays if len(arrays) > 1 else arrays[0], batch_size=1000, verbose=0)[:, 0]
    found = twin(*arrays)
    assert found.shape == (10_000,)
    assert found.dtype == np.float64
    assert largest_difference(found, expected) < TOLERANCE
    one = [array[:1] for array in arrays]
    np.testing.assert_allclose(twin(*one), found[:1], rtol=1e-5)


def test_the_lstm_is_the_recursion_of_its_weights() -> None:
    """Against the recursion written out: input, forget, cell and output gates, in Keras' order."""
    model = sequential(3)
    kernel, recurrent, bias = (np.asarray(weight, float) for weight in model.layers[0].get_weights())
    dense, offset = (np.asarray(weight, float) for weight in model.layers[-1].get_weights())
    window = np.random.default_rng(2).standard_normal((1, MEMORY, 1))
    state, cell = np.zeros(3), np.zeros(3)
    for value in window[0]:
        gates = value @ kernel + state @ recurrent + bias
        into, forget, new, out = np.split(gates, 4)
        cell = _sigmoid(forget) * cell + _sigmoid(into) * np.tanh(new)
        state = _sigmoid(out) * np.tanh(cell)
    twin = serving_network(model)
    np.testing.assert_allclose(twin(window.astype(np.float32)), state @ dense + offset, rtol=1e-5)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_a_network_without_a_counterpart_is_refused_by_layer() -> None:
    import keras

    gru = keras.Sequential([keras.Input((MEMORY, 1)), keras.layers.GRU(3), keras.layers.Dense(1)])
    with pytest.raises(TrainingError, match="GRU"):
        onnx_graph(gru)
    relu = keras.Sequential([keras.Input((MEMORY, 1)), keras.layers.LSTM(3, activation="relu"), keras.layers.Dense(1)])
    with pytest.raises(TrainingError, match="activation = 'relu'"):
        onnx_graph(relu)


def test_twins_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sequential(3)
    graph = onnx_graph(model)
    monkeypatch.setattr("volcast.networks.onnx.onnx_graph", lambda model: graph)
    model.layers[-1].set_weights([1.001 * weight for weight in model.layers[-1].get_weights()])
    with pytest.raises(TrainingError, match="otherwise in ONNX Runtime"):
        serving_network(model)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    import onnx

    graph = onnx.load_from_string(onnx_graph(sequential(3)))
    weight = graph.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=str(tmp_path / "elsewhere"))
    with pytest.raises(UnsafeModelError, match="weights in another file"):
        OnnxNetwork(graph.SerializeToString())


def test_foreign_operators_are_refused() -> None:
    import onnx

    graph = onnx.load_from_string(onnx_graph(sequential(3)))
    graph.graph.node[0].op_type = "Loop"
    with pytest.raises(UnsafeModelError, match="'Loop'"):
        OnnxNetwork(graph.SerializeToString())
    graph = onnx.load_from_string(onnx_graph(sequential(3)))
    graph.graph.node[0].domain = "com.evil"
    with pytest.raises(UnsafeModelError, match=r"com\.evil"):
        OnnxNetwork(graph.SerializeToString())


@pytest.mark.parametrize("content", [b"", b"PK torn", bytes(range(256)), b"\xff" * 40])
def test_bytes_that_are_no_graph_are_refused(content: bytes) -> None:
    with pytest.raises((CorruptModelError, UnsafeModelError)):
        OnnxNetwork(content)


def test_a_torn_graph_is_refused_wherever_it_tears() -> None:
    content = onnx_graph(sequential(3))
    for length in range(0, len(content), 97):
        with pytest.raises((CorruptModelError, UnsafeModelError)):
            OnnxNetwork(content[:length])


def test_forecasting_needs_no_tensorflow() -> None:
    """In a process of its own, where TensorFlow, Keras and what only training needs cannot be imported."""
    code = """
import sys
for absent in ("tensorflow", "keras", "keras_tuner", "onnx", "sklearn", "matplotlib", "bt", "h5py"):
    sys.modules[absent] = None
from tests.support.bars import make_bars
from volcast.forecaster import VolatilityForecaster
forecast = VolatilityForecaster("tests/data/schema-2").forecast(make_bars("2024-11-01", "2024-11-29"))
print(forecast.model_version, forecast.volatility > 0, sys.modules["tensorflow"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["schema-2", "True", "None"], done.stderr


def test_an_output_depends_on_its_window_alone() -> None:
    """To the last bit, neither on the windows beside it nor on the call before: what is carried on relies on that."""
    windows = np.random.default_rng(0).standard_normal((50, MEMORY, 1)).astype(np.float32)
    network = OnnxNetwork(onnx_graph(sequential(3)))
    whole = network(windows)
    for size in (1, 2, 3, 7, 16, 49):
        for first in (0, 1, 20):
            rows = slice(first, first + size)
            np.testing.assert_array_equal(network(windows[rows]), whole[rows])
    assert not len(network(windows[:0]))
