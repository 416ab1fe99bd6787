"""An encoder that does not see masked places: nothing is filled in, nothing is read there."""

from salmask_plugin.sparse.encoding import visible_only

__all__ = ["visible_only"]
