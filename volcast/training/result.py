"""What a training leaves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from volcast.errors import TrainingError
from volcast.evaluation.evaluation import Evaluation
from volcast.pictures import axes_or_new
from volcast.reprs import OneLineRepr
from volcast.search.search import SearchResult
from volcast.store.bundle import ModelBundle
from volcast.training.data import TrainingData
from volcast.training.figures import draw_losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TrainingResult"]


@dataclass(frozen=True, repr=False)
class TrainingResult(OneLineRepr):
    """What a training leaves.

    Attributes
    ----------
    bundle
        The saved model: ``bundle.name`` is its version, ``bundle.path`` its directory.
    evaluation
        Its figures, beside the baselines', on the test part that neither search nor training saw. Of several symbols,
        those with under a week of test buckets, or too little history for the log-HAR, are not in it.
    search
        The trials and the best hyperparameters; None for a `har_lstm`, whose networks are not searched for.
    data
        What it was trained on.
    histories
        ``loss`` and ``val_loss`` of each epoch of each network that was trained after the search; none under `colab`,
        which keeps the best network of the search as it is.
    seconds
        How long it took.
    serves
        Whether it serves in its store from then on; not where that was not asked for, or its verdict is not to use it.
    """

    bundle: ModelBundle
    evaluation: Evaluation
    search: SearchResult | None
    data: TrainingData
    histories: list[dict[str, list[float]]]
    seconds: float
    serves: bool

    def _facts(self) -> dict[str, object]:
        return {
            "model": self.bundle.name,
            "qlike_ratio": self.evaluation.metrics.get("model", {}).get("qlike_ratio"),
            "failed": len(self.failed) or None,
            "serves": self.serves,
            "seconds": round(self.seconds, 1),
            "path": self.bundle.path,
        }

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw the losses of each epoch, as the report does; ``result.evaluation.plot()`` draws the forecasts.

        Parameters
        ----------
        ax
            Axes of Matplotlib's to draw on; None makes a figure, which a notebook shows.

        Returns
        -------
        The axes.

        Raises
        ------
        TrainingError
            No network was trained after the search.
        ConfigError
            `ax` is no axes.
        """
        if not self.histories:
            raise TrainingError(
                f"{self.bundle.name} has no network that was trained after a search; losses are of one; draw "
                "result.evaluation.plot()."
            )
        axes = axes_or_new(ax)
        draw_losses(axes, self.histories)
        return axes

    @property
    def failed(self) -> Mapping[str, str]:
        """Why symbols that were asked for are not in the model, by symbol."""
        return self.data.failed
