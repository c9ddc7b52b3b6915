"""Colours that mean the same in every picture of the benchmark.

Okabe and Ito's palette ("Color Universal Design", 2008) is told apart with the common kinds of colour blindness; no
picture depends on colour alone. The two box colours are far apart in lightness, so that a grey print keeps them apart
too, and do not occur in heat maps that run from blue over green to yellow or red.
"""

from __future__ import annotations

__all__ = ["CATEGORICAL", "PREDICTED_RGB", "TRUE_RGB"]

PREDICTED_RGB = (255, 0, 255)
"""Box that a method predicts, as red, green, blue in 0-255."""

TRUE_RGB = (255, 255, 255)
"""True box, as red, green, blue in 0-255."""

CATEGORICAL = {
    "black": "#000000",
    "blue": "#0072B2",
    "bluish green": "#009E73",
    "orange": "#E69F00",
    "reddish purple": "#CC79A7",
    "sky blue": "#56B4E9",
    "vermilion": "#D55E00",
    "yellow": "#F0E442",
}
"""Okabe and Ito's eight colours by their names, as ``#RRGGBB``."""
