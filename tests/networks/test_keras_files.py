"""A network's file is held to its sizes and parts before Keras sees it."""

import copy
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volcast.config import TrainingConfig
from volcast.errors import UnsafeModelError, VolatilityError
from volcast.networks.architectures import build_lstm_from_values
from volcast.networks.keras_files import load_network, save_network
from volcast.networks.onnx import serving_network

pytestmark = pytest.mark.train

Description = dict[str, Any]
Change = Callable[[Description], object]


@pytest.fixture(scope="module")
def network_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small network as ``.keras`` and as ``.h5``."""
    network = build_lstm_from_values({"n_layers": 2, "units_0": 4, "dropout_0": 0.1, "units_1": 3, "dropout_1": 0.1,
                                      "lr": 0.005}, 5)  # fmt: skip
    paths = {suffix: tmp_path_factory.mktemp("network") / f"network{suffix}" for suffix in (".keras", ".h5")}
    for path in paths.values():
        save_network(network, path)
    return paths


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_network_of_grus_is_read_as_it_was_written(suffix: str, tmp_path: Path) -> None:
    config = TrainingConfig.from_mapping({"cell": "gru"})
    values = {"n_layers": 2, "units_0": 16, "units_1": 16, "dropout_0": 0.1, "dropout_1": 0.1, "lr": 0.005}
    network = build_lstm_from_values(values, 5, config=config)
    path = tmp_path / f"network{suffix}"
    save_network(network, path)
    for weight, expected in zip(load_network(path).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    description = described(path)
    layer(description, "GRU")["config"].update(units=20_000)
    (tmp_path / "forged").mkdir()
    with pytest.raises(UnsafeModelError, match="a layer of 20000 units"):
        load_network(with_description(path, description, tmp_path / "forged"))


def described(path: Path) -> Description:
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return dict(json.loads(archive.read("config.json")))
    with h5py.File(path) as file:
        return dict(json.loads(file.attrs["model_config"]))


def with_description(path: Path, description: Any, place: Path) -> Path:
    """A copy of the file at `path` that says this of its layers."""
    forged = place / path.name
    if path.suffix == ".h5":
        shutil.copyfile(path, forged)
        with h5py.File(forged, "r+") as file:
            file.attrs["model_config"] = json.dumps(description)
        return forged
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(forged, "w") as target:
        for name in source.namelist():
            target.writestr(name, json.dumps(description) if name == "config.json" else source.read(name))
    return forged


def layer(description: Description, kind: str) -> Description:
    found: Description = next(one for one in description["config"]["layers"] if one["class_name"] == kind)
    return found


FORGERIES: dict[str, tuple[Change, str]] = {
    "units": (lambda told: layer(told, "LSTM")["config"].update(units=20_000), "a layer of 20000 units"),
    "units of a dense": (lambda told: layer(told, "Dense")["config"].update(units=9999), "a layer of 9999 units"),
    "units of no kind": (lambda told: layer(told, "LSTM")["config"].update(units="4"), "a layer of '4' units"),
    "many large": (
        lambda told: told["config"]["layers"].extend([copy.deepcopy(layer(told, "LSTM")) for _ in range(99)]),
        "weights and windows of",
    ),
    "a window": (lambda told: layer(told, "InputLayer")["config"].update(batch_shape=[None, 10**9, 1]), "1,000,000"),
    "inputs": (lambda told: layer(told, "InputLayer")["config"].update(batch_shape=[None, 5, 10**9]), "weights and"),
    "unrolled": (lambda told: layer(told, "LSTM")["config"].update(unroll=True), "a layer of 4 units"),
    "a foreign layer": (lambda told: layer(told, "Dropout").update(class_name="Lambda"), "Lambda"),
    "a foreign part": (
        lambda told: layer(told, "LSTM")["config"].update(
            kernel_initializer={"module": "os", "class_name": "GlorotUniform", "config": {}}
        ),
        "of the kind os",
    ),
    "a foreign function": (
        lambda told: layer(told, "LSTM")["config"].update(activation={"class_name": "function", "config": "eval"}),
        "function",
    ),
    "a model in a model": (lambda told: layer(told, "Dropout").update(class_name="Sequential"), "Sequential"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", FORGERIES)
def test_a_network_of_another_size_or_kind_is_refused_before_it_is_built(
    name: str, suffix: str, network_files: dict[str, Path], tmp_path: Path
) -> None:
    change, said = FORGERIES[name]
    description = described(network_files[suffix])
    change(description)
    path = with_description(network_files[suffix], description, tmp_path)
    began = time.perf_counter()
    with pytest.raises(UnsafeModelError, match=said):
        load_network(path)
    assert time.perf_counter() - began < 1


def large(file: h5py.File) -> None:
    file.create_dataset("weights", (20_000, 80_000), "f4", chunks=(1, 80_000), compression="gzip")


def linked(file: h5py.File) -> None:
    file["weights"] = h5py.ExternalLink("elsewhere.h5", "/weights")


def elsewhere(file: h5py.File) -> None:
    file.create_dataset("weights", (3,), "f4", external=[("elsewhere.bin", 0, 12)])


def circular(file: h5py.File) -> None:
    file.create_group("one")["two"] = file["/"]


@pytest.mark.parametrize(
    ("change", "said"),
    [(large, "arrays of over"), (linked, "holds links"), (elsewhere, "in another file"), (circular, "links|arrays")],
)
def test_weights_that_are_too_many_or_elsewhere_are_refused(
    change: Callable[[h5py.File], None], said: str, network_files: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(network_files[".h5"], tmp_path))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(UnsafeModelError, match=said):
        load_network(path)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inner:
        yield from places(held, (*at, key))


@given(data=st.data())
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_change_of_a_description(network_files: dict[str, Path], tmp_path: Path, data: st.DataObject) -> None:
    """A network that serves, or one sentence, in a moment."""
    original = network_files[data.draw(st.sampled_from([".keras", ".h5"]))]
    description = described(original)
    place = data.draw(st.sampled_from(list(places(description))))
    holder: Any = description
    for part in place[:-1]:
        holder = holder[part]
    holder[place[-1]] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=9)
        | st.lists(st.integers(), max_size=4)
    )
    path = with_description(original, description, tmp_path)
    began = time.perf_counter()
    try:
        serving_network(load_network(path))
    except VolatilityError as error:
        assert str(error).count("\n") == 0  # noqa: PT017
    assert time.perf_counter() - began < 20
