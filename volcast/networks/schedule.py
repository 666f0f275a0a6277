"""How long a network is trained, in which order, by which engine, and from which seed."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Engine", "Schedule", "seed_of_network"]

Engine = Literal["auto", "fast", "keras"]


@dataclass(frozen=True)
class Schedule:
    """When to stop and how to go through the data.

    Attributes
    ----------
    epochs
        Passes over the training windows at the most.
    batch_size
        Windows in a gradient step.
    patience
        Epochs without a better validation loss after which training stops.
    restore_best
        Whether the weights of the best epoch are put back at the end.
    first_epoch
        Epochs that the weights have already had (Hyperband continues a network).
    seed
        Seed of the order of windows and of dropout.
    engine
        ``"fast"`` is the compiled one, ``"auto"`` takes it where it knows the network, and else Keras.
    shuffle
        Whether the windows of each epoch come in a new order.
    """

    epochs: int
    batch_size: int
    patience: int
    restore_best: bool = True
    first_epoch: int = 0
    seed: int = 0
    engine: Engine = "auto"
    shuffle: bool = True


def seed_of_network(base: int, number: int) -> int:
    """Seed of network `number`, counted from 0, of an ensemble whose first has the seed `base`."""
    return (base + 7919 * number) % 2**31
