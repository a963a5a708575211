"""What a threshold may be chosen for, as a command line says it. Standard library only: make asks, too."""

from __future__ import annotations

import math
import re
from typing import Final

SAY: Final = (
    "Say recall=0.8, precision=0.5 (a share above 0, at most 1), or cost=10:1 (what a missed positive "
    "costs, and a false alarm)."
)
_AIM: Final = re.compile(
    r"(?P<rate>recall|precision)=(?P<share>\d*\.?\d+)|cost=(?P<missed>\d*\.?\d+):(?P<alarm>\d*\.?\d+)",
    re.ASCII,
)


def read_aim(text: str) -> tuple[str, float, float] | None:
    """Return `recall` or `precision` with its share (twice), or `cost` with both; None for what is none."""
    found = _AIM.fullmatch(text.strip())
    if found is None:
        return None
    if found["rate"]:
        share = float(found["share"])
        return (found["rate"], share, share) if 0 < share <= 1 else None
    missed, alarm = float(found["missed"]), float(found["alarm"])
    usable = missed > 0 and alarm > 0 and math.isfinite(missed) and math.isfinite(alarm)
    return ("cost", missed, alarm) if usable else None
