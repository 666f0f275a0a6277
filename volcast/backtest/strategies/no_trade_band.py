r"""How far a position may stray from the one that is wanted before it pays to trade.

Straying by :math:`d` costs a mean-variance investor :math:`\gamma \sigma^2 d^2 / 2` a session; trading costs c for each
unit. If the wanted position wanders with variance :math:`s^2` a session and a trade goes to the edge of the band alone,
the sum of both is least at the half-width

.. math:: \Delta = \left( \frac{3 c s^2}{2 \gamma \sigma^2} \right)^{1/3}

(Davis and Norman 1990, *Mathematics of Operations Research* 15; in this form Rogers 2004, *Contemporary Mathematics*
351).
"""

import numpy as np

from volcast.arrays import Float64Array1D

__all__ = ["band_widths", "held_within"]

_FIRST_CHANGE = 0.05
"""Change of a position from session to session that is expected before the first one is seen: 5 % of capital."""
_WEIGHT = 10.0


def band_widths(
    changes: Float64Array1D, volatility: Float64Array1D, cost: float | Float64Array1D, risk_aversion: float
) -> Float64Array1D:
    """Half-width of the band around each wanted position, of what was known when it was wanted.

    Parameters
    ----------
    changes
        By how much the wanted position differs from that of the session before, 0 in the first, shape (n,).
    volatility
        Forecast volatility of each session's day, of a position of 1, not annualized, shape (n,).
    cost
        Of trading a position of 1: 1e-4 is a basis point of all of the capital.
    risk_aversion
        Of the mean-variance investor, gamma.
    """
    wandering = (_WEIGHT * _FIRST_CHANGE**2 + np.cumsum(changes**2)) / (_WEIGHT + np.arange(len(changes)))
    return np.asarray(np.cbrt(1.5 * cost * wandering / (risk_aversion * volatility**2)))


def held_within(wanted: Float64Array1D, widths: Float64Array1D) -> Float64Array1D:
    """Positions that begin with the first wanted one and are moved to the edge of the band when they leave it.

    Both of shape (n,); a band of width 0 trades every change.
    """
    positions = np.empty(len(wanted))
    held = wanted[0] if len(wanted) else 0.0
    for row, (position, width) in enumerate(zip(wanted, widths, strict=True)):
        held = min(max(held, position - width), position + width)
        positions[row] = held
    return positions
