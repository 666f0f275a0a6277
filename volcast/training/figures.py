"""What can be drawn of a training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from volcast.pictures import FORECAST, REALIZED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_losses"]


def draw_losses(axes: "Axes", histories: Sequence[dict[str, list[float]]]) -> None:
    """Draw ``loss`` and ``val_loss`` of each epoch of each network."""
    from matplotlib.ticker import MaxNLocator

    for number, history in enumerate(histories):
        epochs = np.arange(1, len(history["loss"]) + 1)
        for name, colour, label in (("loss", REALIZED, "training"), ("val_loss", FORECAST, "validation")):
            axes.plot(epochs, history[name], color=colour, marker=".", linewidth=0.9, label=None if number else label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
