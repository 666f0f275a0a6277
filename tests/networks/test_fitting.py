"""The compiled engine against Keras: losses, gradients, dropout, callbacks, and what it leaves to Keras."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bars import ROOT
from volcast.errors import ConfigError, TrainingError
from volcast.networks.fitting import fit_network, log_qlike
from volcast.networks.schedule import Engine, Schedule

pytestmark = pytest.mark.train

MEMORY = 12


def _sequential(
    units: tuple[int, ...], *, rate: float = 0.0, loss: Any = "mean_squared_error", cell: str = "LSTM"
) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((MEMORY, 1))])
    for i, width in enumerate(units):
        model.add(getattr(keras.layers, cell)(width, return_sequences=i < len(units) - 1))
        model.add(keras.layers.Dropout(rate))
    model.add(keras.layers.Dense(1))
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=loss)
    return model


def _with_side(
    units: tuple[int, ...], *, rate: float = 0.0, loss: Any = "mse", features: int = 3, cell: str = "LSTM"
) -> Any:
    import keras

    keras.utils.set_random_seed(4)
    window, side = keras.Input((MEMORY, features), name="window"), keras.Input((5,), name="side")
    flow = window
    for i, width in enumerate(units):
        layer = getattr(keras.layers, cell)(width, return_sequences=i < len(units) - 1)
        flow = keras.layers.Dropout(rate)(layer(flow))
    output = keras.layers.Dense(1)(keras.layers.Concatenate()([flow, side]))
    model = keras.Model([window, side], output)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=loss)
    return model


def _samples(count: int, *, seed: int = 0, side: bool = False) -> tuple[Any, ...]:
    """Strided, read-only windows whose targets depend on their last steps and on what stands beside them."""
    random = np.random.default_rng(seed)
    features = 3 if side else 1
    series = random.standard_normal((count + MEMORY - 1, features)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(series, MEMORY, axis=0).transpose(0, 2, 1)
    beside = random.standard_normal((count, 5)).astype(np.float32)
    targets = 0.5 * windows[:, -1, 0] + windows[:, -2, 0] * windows[:, -3, 0] + side * beside[:, 0]
    inputs = (windows, beside) if side else windows
    return inputs, targets.astype(np.float32)


def _silent(epoch: int, loss: float, val_loss: float) -> None:
    pass


PARITY: dict[str, tuple[Callable[[], Any], dict[str, bool]]] = {
    "one layer": (lambda: _sequential((16,)), {}),
    "two layers, not whole vectors": (lambda: _sequential((20, 7)), {}),
    "side inputs": (lambda: _with_side((16,)), {"side": True}),
    "log-QLIKE": (lambda: _with_side((16, 16), loss=log_qlike(0.5)), {"side": True}),
    "one layer of GRUs": (lambda: _sequential((16,), cell="GRU"), {}),
    "two of GRUs, not whole vectors": (lambda: _sequential((20, 7), cell="GRU"), {}),
    "GRUs, side inputs": (lambda: _with_side((9, 16), loss=log_qlike(0.5), cell="GRU"), {"side": True}),
}


@pytest.mark.parametrize("case", PARITY)
def test_losses_weights_and_optimizer_are_those_of_keras(case: str) -> None:
    build, kind = PARITY[case]
    train, validation = _samples(75, **kind), _samples(30, seed=1, **kind)[:2]
    models, histories = [], []
    for engine in ("keras", "fast"):
        model = build()
        schedule = Schedule(3, 16, 9, restore_best=False, engine=engine, shuffle=False)
        histories.append(fit_network(model, train, validation, schedule, _silent))
        models.append(model)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-5)
    for expected, weight in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, atol=2e-5)
    for expected, state in zip(models[0].optimizer.variables, models[1].optimizer.variables, strict=True):
        np.testing.assert_allclose(np.asarray(state), np.asarray(expected), rtol=1e-3, atol=1e-6)


def test_a_second_call_goes_on_where_keras_would() -> None:
    train, validation = _samples(48), _samples(16, seed=1)
    losses = []
    for engines in (("keras", "keras"), ("fast", "fast"), ("fast", "keras")):
        model = _sequential((16,))
        for engine in engines:
            schedule = Schedule(1, 16, 9, engine=engine, shuffle=False)
            history = fit_network(model, train, validation, schedule, _silent)
        losses.append(history["val_loss"][0])
    np.testing.assert_allclose(losses[1:], losses[0], rtol=1e-5)


@pytest.mark.parametrize("case", ["side inputs", "log-QLIKE", "GRUs, side inputs"])
def test_gradients_are_those_of_keras_and_of_finite_differences(case: str) -> None:
    import keras
    import tensorflow as tf

    from volcast.networks.compiled.engine import CompiledNetwork, Samples, plan_of

    build, kind = PARITY[case]
    model, data = build(), _samples(21, **kind)
    plan = plan_of(model)
    assert not isinstance(plan, str)
    network, samples = CompiledNetwork(plan, MEMORY), Samples.of(data)
    network.read_weights()
    gradient = network.gradient(samples)

    loss = model.loss if callable(model.loss) else keras.losses.get(model.loss)
    with tf.GradientTape() as tape:
        outputs = model([np.ascontiguousarray(data[0][0]), data[0][1]])
        value = tf.reduce_mean(loss(data[1][:, None], outputs))
    scale = max(float(np.abs(part).max()) for part in gradient)
    for ours, keras_gradient in zip(gradient, tape.gradient(value, model.trainable_variables), strict=True):
        np.testing.assert_allclose(ours, keras_gradient.numpy(), atol=1e-4 * scale)

    started = [weight.astype(float) for weight in model.get_weights()]
    spread = getattr(model.loss, "log_qlike_spread", 0.0)
    random, step = np.random.default_rng(0), 1e-5
    for ours, weight in zip(gradient, started, strict=True):
        for place in random.choice(weight.size, min(weight.size, 40), replace=False):
            there, losses = np.unravel_index(place, weight.shape), []
            for moved in (step, -step):
                weight[there] += moved
                losses.append(_plain_loss(started, data, spread))
                weight[there] -= moved
            assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(float(ours[there]), abs=1e-4 * scale)


def _plain_loss(parameters: list[np.ndarray], data: tuple[Any, ...], spread: float) -> float:
    """The loss of recurrent layers, side inputs and a dense output, in double precision and as textbooks write it."""
    (windows, side), targets = data[0], data[1]
    flow = windows.astype(float)
    *layers, kernel, bias = parameters
    for layer in range(0, len(layers), 3):
        states = []
        state = cell = np.zeros((len(flow), layers[layer + 1].shape[0]))
        for step in range(flow.shape[1]):
            if layers[layer + 2].ndim == 2:
                sums, added = (
                    np.split(values @ weights + bias, 3, axis=1)
                    for values, weights, bias in zip(
                        (flow[:, step], state), layers[layer : layer + 2], layers[layer + 2], strict=True
                    )
                )
                update, reset = (_sigmoid(sums[gate] + added[gate]) for gate in (0, 1))
                state = update * state + (1 - update) * np.tanh(sums[2] + reset * added[2])
                states.append(state)
                continue
            gates = flow[:, step] @ layers[layer] + state @ layers[layer + 1] + layers[layer + 2]
            admit, forget, candidate, let_out = np.split(gates, 4, axis=1)
            cell = _sigmoid(forget) * cell + _sigmoid(admit) * np.tanh(candidate)
            state = _sigmoid(let_out) * np.tanh(cell)
            states.append(state)
        flow = np.stack(states, axis=1)
    errors = targets - (np.concatenate([flow[:, -1], side], axis=1) @ kernel + bias)[:, 0]
    scaled = 2 * spread * errors
    return float(np.mean(np.expm1(scaled) - scaled if spread else errors**2))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_gradient_of_a_large_batch_is_the_mean_of_its_parts() -> None:
    from volcast.networks.compiled.engine import CompiledNetwork, Samples, plan_of

    plan = plan_of(_sequential((16,)))
    assert not isinstance(plan, str)
    network = CompiledNetwork(plan, MEMORY)
    network.read_weights()
    windows, targets = _samples(50)
    whole = network.gradient(Samples.of((windows, targets)))
    parts = [network.gradient(Samples.of((windows[i : i + 10], targets[i : i + 10]))) for i in range(0, 50, 10)]
    for mean, *pieces in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(np.mean(pieces, axis=0), mean, atol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate: float) -> None:
    from volcast.networks.compiled.kernel import dropout_scales

    scales = np.stack([dropout_scales(960, 64, rate, key) for key in range(8)])
    kept = scales > 0
    np.testing.assert_allclose(np.unique(scales), [0.0, 1.0 / (1.0 - rate)], rtol=1e-6)
    expected = np.sqrt(rate * (1 - rate))
    for axes in ((1, 2), (0, 1), (0, 2)):  # by step, by unit, by window
        share = kept.mean(axis=axes)
        deviations = np.abs(share - (1 - rate)) / (expected / np.sqrt(kept.size / share.size))
        assert deviations.max() < 5.0
    assert abs(scales.mean() - 1.0) < 0.01
    together = np.corrcoef(kept.reshape(len(kept), -1).astype(float))
    assert np.abs(together - np.eye(len(kept))).max() < 0.02


def test_training_drops_and_forecasting_does_not() -> None:
    train = _samples(64)
    for rate in (0.0, 0.5):
        model = _sequential((16,), rate=rate)
        model.optimizer.learning_rate = 1e-12
        history = fit_network(model, train, train, Schedule(1, 16, 9, engine="fast"), _silent)
        assert (history["loss"][0] == pytest.approx(history["val_loss"][0], rel=1e-6)) is (rate == 0.0)


def test_same_seed_same_weights_another_seed_others() -> None:
    def weights(seed: int) -> np.ndarray:
        model = _sequential((16,), rate=0.2)
        fit_network(model, _samples(60), _samples(20, seed=1), Schedule(2, 16, 9, seed=seed), _silent)
        return np.concatenate([weight.ravel() for weight in model.get_weights()])

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_early_stopping_puts_the_best_weights_back_and_callbacks_see_the_model() -> None:
    import keras

    seen: list[tuple[float, float]] = []
    validation = _samples(40, seed=1)

    class Judge(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            outputs = self.model.predict_on_batch(np.ascontiguousarray(validation[0]))[:, 0]
            seen.append((float(np.mean((outputs - validation[1]) ** 2)), logs["val_loss"]))

    model = _sequential((32,))
    model.optimizer.learning_rate = 0.05
    told: list[int] = []
    history = fit_network(
        model,
        _samples(48),
        validation,
        Schedule(40, 16, 2, engine="fast"),
        lambda *news: told.append(news[0]),
        [Judge()],
    )
    epochs = len(history["val_loss"])
    assert epochs < 40
    assert told == list(range(1, epochs + 1))
    assert int(np.argmin(history["val_loss"])) == epochs - 3
    np.testing.assert_allclose([judged for judged, _ in seen], [logged for _, logged in seen], rtol=1e-4)
    outputs = model.predict_on_batch(np.ascontiguousarray(validation[0]))[:, 0]
    assert np.mean((outputs - validation[1]) ** 2) == pytest.approx(min(history["val_loss"]), rel=1e-4)


@pytest.mark.parametrize("engine", ["fast", "keras"])
def test_a_training_whose_validation_loss_is_no_number_is_refused(engine: Engine) -> None:
    windows, targets = _samples(40)
    targets[3] = np.inf
    losses: list[tuple[float, float]] = []
    with pytest.raises(TrainingError, match="validation loss became infinite or no number"):
        fit_network(
            _sequential((16,)),
            (windows, targets),
            _samples(20),
            Schedule(2, 16, 9, engine=engine),
            lambda epoch, *both: losses.append(both),
        )
    assert len(losses) == 2
    assert not np.isfinite(losses).any()


def _unknown_networks() -> dict[str, Callable[[], Any]]:
    import keras

    layers = keras.layers

    def built(*middle: Any, loss: str = "mse", optimizer: Any = "adam") -> Any:
        model = keras.Sequential([keras.Input((MEMORY, 1)), *middle, layers.Dense(1)])
        model.compile(optimizer=optimizer, loss=loss)
        return model

    return {
        "type SimpleRNN": lambda: built(layers.SimpleRNN(8)),
        "LSTM and of GRU": lambda: built(layers.LSTM(8, return_sequences=True), layers.GRU(8)),
        "is not set as usual": lambda: built(layers.GRU(8, reset_after=False)),
        "not set as usual": lambda: built(layers.LSTM(8, activation="relu")),
        "set as usual": lambda: built(layers.LSTM(8, kernel_regularizer="l2")),
        "plain Adam": lambda: built(layers.LSTM(8), optimizer="sgd"),
        "clips": lambda: built(layers.LSTM(8), optimizer=keras.optimizers.Adam(clipnorm=1.0)),
        "mean squared error": lambda: built(layers.LSTM(8), loss="mae"),
        "feed one another": lambda: built(layers.LSTM(8, return_sequences=True), layers.Dropout(0.1)),
    }


def test_what_the_compiled_engine_does_not_know_is_said_and_left_to_keras() -> None:
    from volcast.networks.compiled.engine import plan_of

    networks = _unknown_networks()
    for reason, build in networks.items():
        assert reason in str(plan_of(build()))
    train, schedule = _samples(32), Schedule(1, 16, 1)
    with pytest.warns(UserWarning, match="trained by Keras: it has the layer"):
        history = fit_network(networks["type SimpleRNN"](), train, train, schedule, _silent)
    assert len(history["val_loss"]) == 1
    with pytest.raises(ConfigError, match="use 'auto' or 'keras'"):
        fit_network(networks["type SimpleRNN"](), train, train, Schedule(1, 16, 1, engine="fast"), _silent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_network(_sequential((8,)), train, train, schedule, _silent)


@pytest.mark.slow
def test_the_first_run_of_a_machine_gives_what_later_ones_give(tmp_path: Path) -> None:
    """What a process compiles itself may differ in the last bits from what later ones load from the cache."""
    code = (
        "import numpy as np, keras\n"
        "from volcast.networks.architectures import build_lstm_from_values\n"
        "from volcast.networks.fitting import fit_network\n"
        "from volcast.networks.schedule import Schedule\n"
        "keras.utils.set_random_seed(1)\n"
        "model = build_lstm_from_values({'n_layers': 1, 'units_0': 16, 'dropout_0': 0.1, 'lr': 0.01}, 20)\n"
        "random = np.random.default_rng(0)\n"
        "data = [random.standard_normal(shape).astype('f4') for shape in ((300, 20, 1), (300,))]\n"
        "print(fit_network(model, data, data, Schedule(3, 16, 3, seed=1), lambda *epoch: None))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] != ""
