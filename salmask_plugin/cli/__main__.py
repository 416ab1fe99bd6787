"""``python -m salmask_plugin.cli`` is the ``salmask`` command; Ctrl-C before it has begun, too."""

import signal
import sys


def start() -> int:
    """Run the command; return the exit code. Nothing but Python's own start comes before it."""
    try:
        from salmask_plugin.cli.main import main

        return main()
    except KeyboardInterrupt:
        print("\nsalmask: interrupted before it had begun.", file=sys.stderr)
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(start())
