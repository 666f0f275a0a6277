"""Losses are drawn as they were."""

import pytest
from matplotlib.figure import Figure

from tests.support.trainings import training_result
from volcast.errors import TrainingError


def test_the_losses_of_each_network_are_drawn_by_epoch() -> None:
    result = training_result("SPY", {"qlike": 0.1}, [[3.0, 2.0, 1.5], [4.0, 3.0]])
    axes = Figure().add_subplot()
    assert result.plot(ax=axes) is axes
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]  # type: ignore[arg-type]
    assert drawn == [([1, 2, 3], [3.0, 2.0, 1.5])] * 2 + [([1, 2], [4.0, 3.0])] * 2


def test_without_a_network_there_is_nothing_to_draw() -> None:
    with pytest.raises(TrainingError, match="no network"):
        training_result("SPY", {"qlike": 0.1}, []).plot()
