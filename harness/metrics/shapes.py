"""The words for arrays in signatures: jaxtyping's where something checks them, else names that nobody looks up.

Signatures are never evaluated outside the tests, and jaxtyping takes longer to import than all metrics together. The
tests import it first (``--jaxtyping-packages``).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool as Bool
    from jaxtyping import Float64 as Float64
    from jaxtyping import Int as Int
    from jaxtyping import Int32 as Int32
    from jaxtyping import Int64 as Int64
    from jaxtyping import UInt8 as UInt8
else:
    Bool = Float64 = Int = Int32 = Int64 = UInt8 = None
