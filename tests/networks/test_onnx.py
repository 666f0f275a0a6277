"""Networks without TensorFlow: the ONNX twin computes what Keras does, and nothing else is let in."""

import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bars import ROOT
from volcast.config import TrainingConfig
from volcast.errors import CorruptModelError, TrainingError, UnsafeModelError, VolatilityError
from volcast.features.scaling import RangeScaler
from volcast.forecasters.recipe import ScaledWindows
from volcast.networks.onnx import (
    TOLERANCE,
    OnnxEnsemble,
    OnnxNetwork,
    largest_difference,
    onnx_graph,
    serving_network,
)
from volcast.store.bundle import ModelBundle

if TYPE_CHECKING:
    import keras
    import onnx

pytestmark = pytest.mark.train

MEMORY = 20


def sequential(*units: int, cell: str = "LSTM") -> "keras.Model":
    import keras

    layers = [keras.Input((MEMORY, 1))]
    for i, count in enumerate(units):
        layer = getattr(keras.layers, cell)(count, return_sequences=i < len(units) - 1)
        layers += [layer, keras.layers.Dropout(0.3)]
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


def of_grus(*units: int) -> "keras.Model":
    return sequential(*units, cell="GRU")


@pytest.mark.parametrize(
    ("build", "units"),
    [(sequential, (7,)), (sequential, (8, 5)), (with_side, (6, 4)), (of_grus, (7,)), (of_grus, (8, 5))],
)
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
    np.testing.assert_allclose(twin(window.astype(np.float32)), state @ dense + offset, rtol=1e-5, atol=1e-7)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_a_network_without_a_counterpart_is_refused_by_layer() -> None:
    import keras

    simple = keras.Sequential([keras.Input((MEMORY, 1)), keras.layers.SimpleRNN(3), keras.layers.Dense(1)])
    with pytest.raises(TrainingError, match="SimpleRNN"):
        onnx_graph(simple)
    early = keras.Sequential([keras.Input((MEMORY, 1)), keras.layers.GRU(3, reset_after=False), keras.layers.Dense(1)])
    with pytest.raises(TrainingError, match="reset_after = False"):
        onnx_graph(early)
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


def test_the_gru_is_the_recursion_of_its_weights() -> None:
    """Keras' update weighs the state before, not the candidate; the reset stands behind the product."""
    model = of_grus(2)
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.standard_normal(weight.shape))
    kernel, recurrent, (of_input, of_state), dense, offset = (weight.astype(float) for weight in model.get_weights())
    windows = random.standard_normal((5, MEMORY, 1)).astype(np.float32)
    state = np.zeros((5, 2))
    for step in range(MEMORY):
        sums, added = windows[:, step] @ kernel + of_input, state @ recurrent + of_state
        update, reset = (1 / (1 + np.exp(-(sums + added)[:, part])) for part in (slice(0, 2), slice(2, 4)))
        state = update * state + (1 - update) * np.tanh(sums[:, 4:] + reset * added[:, 4:])
    np.testing.assert_allclose(serving_network(model)(windows), (state @ dense + offset)[:, 0], rtol=1e-4, atol=1e-5)


def test_a_gru_with_another_reset_or_other_weights_is_refused() -> None:
    import onnx

    for change, said in (
        ({"linear_before_reset": 0}, "whose reset comes before"),
        ({"hidden_size": 4}, "whose weights do not fit"),
    ):
        graph = onnx.load_from_string(onnx_graph(of_grus(3)))
        gru = next(node for node in graph.graph.node if node.op_type == "GRU")
        for attribute in gru.attribute:
            attribute.i = change.get(attribute.name, attribute.i)
        with pytest.raises(UnsafeModelError, match=said):
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


def doubled(graph: "onnx.ModelProto") -> None:
    """Forty times itself beside itself: a width of a million millions, in a few bytes."""
    from onnx import helper

    output = graph.graph.node.pop()
    name = output.input[0]
    for number in range(40):
        graph.graph.node.append(helper.make_node("Concat", [name, name], [f"twice{number}"], axis=1))
        name = f"twice{number}"
    graph.graph.node.append(helper.make_node("Identity", [name], ["output"]))


def of_weights(graph: "onnx.ModelProto") -> None:
    from onnx import helper

    weight = graph.graph.initializer[0].name
    graph.graph.node.insert(0, helper.make_node("Concat", [weight, weight], ["folded"], axis=1))


def not_finite(graph: "onnx.ModelProto") -> None:
    weight = graph.graph.initializer[0]
    weight.raw_data = np.full(len(weight.raw_data) // 4, np.nan, "<f4").tobytes()


def many_nodes(graph: "onnx.ModelProto") -> None:
    from onnx import helper

    graph.graph.node.extend(helper.make_node("Identity", ["window"], [f"{number}"]) for number in range(2000))


def swap_nodes(graph: "onnx.ModelProto") -> None:
    graph.graph.node.append(graph.graph.node.pop(0))


Change = Callable[["onnx.ModelProto"], object]
FORGERIES: dict[str, tuple[Change, str]] = {
    "a width that doubles": (doubled, "has a Concat of other things"),
    "weights folded before any window": (of_weights, "an operator Concat with other inputs"),
    "weights that are not finite": (not_finite, "weights that are not finite"),
    "too many nodes": (many_nodes, "has 2009 nodes|has 20.. nodes"),
    "nodes in another order": (swap_nodes, "with other inputs than ours"),
    "a shape without its bytes": (lambda graph: graph.graph.initializer[0].dims.insert(0, 10**9), "than their shape"),
    "more units than weights": (lambda graph: set_units(graph, 20_000), "whose weights do not fit"),
    "no units": (lambda graph: set_units(graph, 0), "whose weights do not fit"),
    "a longer window": (lambda graph: set_window(graph, 2, 7), "whose weights do not fit"),
    "an endless window": (lambda graph: set_window(graph, 1, 10**9), "of other shapes"),
    "another attribute": (
        lambda graph: graph.graph.node[1].attribute.add(name="clip", f=0.5, type=1), "something in an attribute",
    ),
    "another output": (lambda graph: graph.graph.output.add().CopyFrom(graph.graph.output[0]), "another output"),
    "two weights of one name": (
        lambda graph: graph.graph.initializer.add().CopyFrom(graph.graph.initializer[0]), "several weights of one name",
    ),
    "functions": (lambda graph: graph.functions.add(name="f"), "something in the model"),
    "sparse weights": (lambda graph: graph.graph.sparse_initializer.add(), "something in the graph"),
}  # fmt: skip


def set_units(graph: "onnx.ModelProto", units: int) -> None:
    next(node for node in graph.graph.node if node.op_type == "LSTM").attribute[0].i = units


def set_window(graph: "onnx.ModelProto", axis: int, size: int) -> None:
    graph.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_graph_is_refused_at_once(name: str) -> None:
    import onnx

    change, said = FORGERIES[name]
    graph = onnx.load_from_string(onnx_graph(sequential(3)))
    change(graph)
    content = graph.SerializeToString()
    began = time.perf_counter()
    with pytest.raises(UnsafeModelError, match=said):
        OnnxNetwork(content)
    assert time.perf_counter() - began < 1


def test_millions_of_fields_are_refused_at_once() -> None:
    began = time.perf_counter()
    with pytest.raises(CorruptModelError):
        OnnxNetwork(b"\x08\x08" * 10_000_000)
    assert time.perf_counter() - began < 1


@given(data=st.data())
@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_graph_computes_or_is_refused(data: st.DataObject) -> None:
    """Bytes changed, cut and doubled anywhere: a network that computes, or one sentence, in a moment."""
    content = bytearray((ROOT / "tests" / "data" / "schema-2-har-lstm" / "network_0.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        stop = place + data.draw(st.integers(1, 40))
        content[place:stop] = data.draw(
            st.sampled_from([b"", content[place:stop] * 2]) | st.binary(min_size=1, max_size=3)
        )
    began = time.perf_counter()
    said = ""
    try:
        network = OnnxNetwork(bytes(content))
        outputs = network(np.zeros((3, *network.window_shape), np.float32))
    except VolatilityError as error:
        said = str(error)
    assert time.perf_counter() - began < 5
    if said:
        assert said.endswith(".")
        assert "\n" not in said
    else:
        assert outputs.shape == (3,)


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


@pytest.mark.parametrize(
    ("build", "units"), [(sequential, (3,)), (sequential, (8, 5)), (with_side, (6, 4)), (of_grus, (7,))]
)
def test_an_ensemble_is_the_mean_of_its_networks(build: Callable[..., "keras.Model"], units: tuple[int, ...]) -> None:
    """To the last bit, for every number of rows, which are as many at a time as symbols or as buckets of years."""
    networks = [OnnxNetwork(onnx_graph(build(*units))) for _ in range(5)]
    random, ensemble = np.random.default_rng(0), OnnxEnsemble(networks)
    again = pickle.loads(pickle.dumps(ensemble))
    for count in (*range(25), 600):
        arrays = [random.standard_normal((count, *shape)).astype(np.float32) for shape in networks[0].inputs.values()]
        expected = sum(network(*arrays) for network in networks) / len(networks)
        np.testing.assert_array_equal(ensemble(*arrays), expected)
        np.testing.assert_array_equal(again(*arrays), expected)
        rows = [ensemble(*(array[row : row + 1] for array in arrays)) for row in range(count)]
        np.testing.assert_array_equal(np.concatenate([np.empty(0), *rows]), expected)


def test_a_bundle_runs_networks_as_one_that_take_the_same() -> None:
    one, other, wider = (OnnxNetwork(onnx_graph(model)) for model in (sequential(3), of_grus(3), with_side(3)))
    bundle = ModelBundle("model", (one, other), ScaledWindows(RangeScaler(), MEMORY), TrainingConfig())
    (together,) = bundle.networks_as_one
    assert isinstance(together, OnnxEnsemble)
    assert bundle.networks_as_one == (together,)
    for networks in ((one,), (one, wider), (one, lambda windows, side=None: one(windows)), ()):
        assert replace(bundle, networks=networks).networks_as_one == networks


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
