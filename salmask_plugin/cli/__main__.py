"""``python -m salmask_plugin.cli`` is the ``salmask`` command."""

import sys

from salmask_plugin.cli.main import main

sys.exit(main())
