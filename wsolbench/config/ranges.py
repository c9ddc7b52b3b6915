"""Ranges of values, as annotations: of keys of ``params.yaml``, and of the arguments that constructors take from it.

``gamma: Fraction = 0.8`` in a method's constructor is all that there is to do: the schema refuses other values before
any data is loaded, ``wsolbench list ranges`` prints the range, and a search space is checked against it.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, Field

__all__ = ["Count", "Factor", "Fraction", "Odd", "Positive", "PositiveFactor", "range_of"]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("Input should be odd")
    return value


Fraction = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0)]
PositiveFactor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Odd = Annotated[int, Field(gt=0), AfterValidator(_odd)]


def range_of(annotation: Any) -> str:
    """Return the range that an annotation states, such as ``0 to 1`` or ``above 0``; empty if it states none."""
    metadata = [
        each for field in getattr(annotation, "__metadata__", ()) for each in getattr(field, "metadata", [field])
    ]
    low = next((each.ge for each in metadata if isinstance(each, Ge)), None)
    high = next((each.le for each in metadata if isinstance(each, Le)), None)
    if low is not None and high is not None:
        return f"{low} to {high}"
    words = {Ge: "at least {0.ge}", Gt: "above {0.gt}", Le: "at most {0.le}", Lt: "below {0.lt}"}
    said = [words[type(each)].format(each) for each in metadata if type(each) in words]
    said += ["odd"] if any(isinstance(each, AfterValidator) and each.func is _odd for each in metadata) else []
    inner = (range_of(each) for each in get_args(annotation)) if not said else ()
    return ", ".join([*said, *dict.fromkeys(each for each in inner if each)])
