"""Tests of the device that training says it computes on."""

from types import SimpleNamespace

import pytest

from volcast.networks.tensorflow import compute_device

pytestmark = pytest.mark.train


def test_a_graphics_card_is_used_by_keras_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    cards = [SimpleNamespace(name="/physical_device:GPU:0")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: cards if kind == "GPU" else [])
    assert compute_device("keras") == "GPU (/physical_device:GPU:0) by Keras"
    assert compute_device("auto").startswith("CPU by the compiled engine")
    assert compute_device("fast").startswith("CPU by the compiled engine")
    cards.clear()
    assert compute_device("keras") == "CPU by Keras"
