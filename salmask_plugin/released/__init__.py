"""What the released code does and the paper does not say, for comparison; never a default."""

from salmask_plugin.released.first_negative import FirstNegative
from salmask_plugin.released.row_sorted import RowSortedLocalizer

__all__ = ["FirstNegative", "RowSortedLocalizer"]
