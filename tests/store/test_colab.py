"""A scaler's pickle: the notebook's is read, and whatever else there is in one is refused before it does anything."""

import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy._core.multiarray import _reconstruct
from sklearn.preprocessing import MinMaxScaler

from volcast.errors import CorruptModelError, ModelNotFoundError, StoreError, UnsafeModelError, VolatilityError
from volcast.features.scaling import RangeScaler
from volcast.networks.architectures import build_lstm_from_values
from volcast.store.colab import colab_bundle, read_colab_pair, write_colab_pair

pytestmark = pytest.mark.train


class Forged:
    """Pickled as the given call, with the given state."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def kind(name: str, order: str = "<", *rest: Any) -> Forged:
    return Forged(np.dtype, (name, False, True), (3, order, *(rest or (None, None, None, -1, -1, 0))))


def array(content: Any, of: Forged, shape: Any = (1,)) -> Forged:
    return Forged(_reconstruct, (np.ndarray, (0,), b"b"), (1, shape, of, False, content))


def scaler(**fields: Any) -> bytes:
    true = {
        "feature_range": (0, 1), "clip": False, "n_samples_seen_": 9,
        "data_min_": np.array([0.0]), "data_max_": np.array([0.5]), "scale_": np.array([2.0]),
    }  # fmt: skip
    return pickle.dumps(Forged(MinMaxScaler, (), {**true, **fields}), 4)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pair")
    network = build_lstm_from_values({"n_layers": 1, "units_0": 4, "dropout_0": 0.0, "lr": 0.005}, 5)
    return write_colab_pair(network, RangeScaler(0.0, 0.5, 9), directory)[0]


def read(pair: Path, pickled: bytes) -> RangeScaler:
    path = pair.with_name("forged.pkl")
    path.write_bytes(pickled)
    return read_colab_pair(pair, path)[1]


def test_a_scaler_of_the_notebooks_kind_is_read(pair: Path) -> None:
    assert read(pair, scaler()) == RangeScaler(0.0, 0.5, 9)
    assert read(pair, scaler(data_max_=np.array([0.5], ">f8"))) == RangeScaler(0.0, 0.5, 9)
    assert read(pair, scaler(n_samples_seen_=np.int64(9))) == RangeScaler(0.0, 0.5, 9)
    written = pair.with_name("volatility_scaler.pkl").read_bytes()
    assert read(pair, written) == RangeScaler(0.0, 0.5, 9)


OBJECT = kind("O8", "|", None, None, None, -1, -1, 63)
FORGED: dict[str, bytes] = {
    "objects out of bytes": scaler(data_max_=array(b"A" * 8, OBJECT)),
    "objects in a structure": scaler(
        data_max_=array(b"A" * 8, kind("V8", "|", None, ("a",), {"a": (OBJECT, 0)}, 8, 1, 0))
    ),
    "objects beyond a structure": scaler(
        data_max_=array(b"A" * 8, kind("V8", "|", None, ("a",), {"a": (OBJECT, 2**30)}, 8, 1, 0))
    ),
    "a list of objects": scaler(data_max_=array([0.5], OBJECT)),
    "fewer bytes than the shape": scaler(data_max_=array(b"A", kind("f8"))),
    "more bytes than the shape": scaler(data_max_=array(b"A" * 80, kind("f8"))),
    "a shape beyond memory": scaler(data_max_=array(b"A" * 8, kind("f8"), (2**60,))),
    "a shape of less than nothing": scaler(data_max_=array(b"A" * 8, kind("f8"), (-1,))),
    "another kind of number": scaler(data_max_=array(b"A" * 16, kind("c16"))),
    "no number": scaler(data_max_=np.array([np.nan]), scale_=np.array([np.nan])),
    "infinite": scaler(data_max_=np.array([np.inf]), scale_=np.array([0.0])),
    "upside down": scaler(data_min_=np.array([0.7]), scale_=np.array([1.0])),
    "text for a number": scaler(data_max_="0.5"),
    "two features": scaler(data_max_=np.array([0.5, 0.5])),
    "a scalar of objects": scaler(n_samples_seen_=Forged(np._core.multiarray.scalar, (OBJECT, b"A" * 8))),  # type: ignore[attr-defined]
    "state for a class": pickle.dumps(MinMaxScaler, 4)[:-1] + b"}\x8c\x06fields}\x86\x86b.",
    "memory for a billion": b"\x80\x04Nr\xff\xff\xff\x7f.",
    "text for a billion": b"\x80\x04X\xff\xff\xff\x7f.",
    "a key that hashes for ever": b"\x80\x04}(N\x85" + b"q\x00h\x00\x86" * 60 + b"Nu.",
    "nothing under nothing": b"\x80\x04b.",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_scaler_is_refused_at_once(name: str, pair: Path) -> None:
    began = time.perf_counter()
    with pytest.raises(VolatilityError, match=r"get the file from the notebook again\.$"):
        read(pair, FORGED[name])
    assert time.perf_counter() - began < 1


@given(data=st.data())
@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_scaler_is_read_or_refused(pair: Path, data: st.DataObject) -> None:
    """Bytes changed, cut and doubled anywhere: a scaler with a sound range, or one sentence."""
    content = bytearray(scaler())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["set", "cut", "double"])):
            case "set":
                content[place] = data.draw(st.integers(0, 255))
            case "cut":
                del content[place : place + data.draw(st.integers(1, 9))]
            case _:
                content[place:place] = content[place : place + data.draw(st.integers(1, 40))]
        content = content or bytearray(b".")
    said = ""
    try:
        result = read(pair, bytes(content))
    except (CorruptModelError, UnsafeModelError) as error:
        said = str(error)
    if said:
        assert said.endswith("get the file from the notebook again.")
        assert "\n" not in said
    else:
        assert 0 <= result.data_min_ <= result.data_max_ < np.inf


def test_the_pair_as_a_bundle(pair: Path, tmp_path: Path) -> None:
    shutil.copytree(pair.parent, tmp_path / "copy")
    (tmp_path / "copy" / "forged.pkl").unlink(missing_ok=True)
    bundle = colab_bundle(tmp_path / "copy" / pair.name)
    assert (bundle.memory, bundle.preset, bundle.trained_through) == (5, "colab", None)


@pytest.mark.parametrize("renames", [0, 1])
def test_a_killed_writer_leaves_no_network_beside_anothers_scaler(
    pair: Path, renames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pair"
    write_colab_pair(*read_colab_pair(pair), folder)
    network = build_lstm_from_values({"n_layers": 1, "units_0": 32, "dropout_0": 0.0, "lr": 0.005}, 12)
    renamed, count = os.replace, 0

    def stopped(source: Any, destination: Any) -> None:
        nonlocal count
        count += 1
        if count > renames:
            raise KeyboardInterrupt
        renamed(source, destination)

    with monkeypatch.context() as patched:
        patched.setattr("volcast.files.os.replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            write_colab_pair(network, RangeScaler(0.1, 0.2, 5), folder)
    with pytest.raises(ModelNotFoundError):
        read_colab_pair(folder / "volatility_lstm_model.h5")
    assert [path.name for path in folder.iterdir()] == ["volatility_lstm_model.h5"]
    write_colab_pair(network, RangeScaler(0.1, 0.2, 5), folder)
    assert read_colab_pair(folder / "volatility_lstm_model.h5")[1].data_max_ == 0.2


def test_a_folder_that_cannot_be_written_is_said(pair: Path, tmp_path: Path) -> None:
    network, scaler = read_colab_pair(pair)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / ("a" * 300), tmp_path / "a\0"):
        with pytest.raises(StoreError, match="cannot be written"):
            write_colab_pair(network, scaler, folder)
