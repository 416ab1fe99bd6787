"""Types of settings that say more than their Python type does."""

from typing import Annotated, Any

PATH = "path"
"""Mark of a text that is a path: ``~`` at its beginning is the user's folder."""
TARGET = "target"
"""Mark of a node that is built: a mapping with a ``_target_``, or an empty one for nothing."""
NO_FOLDER = "root may be null"
"""Mark of a data set whose folder may still be missing; its command says so."""

PathText = Annotated[str, PATH]
Node = Annotated[dict[str, Any], TARGET]
DataNode = Annotated[dict[str, Any], TARGET, NO_FOLDER]
