"""solo-learn as host: methods, high-pass backbones and checks, registered without editing it.

Importing this package imports neither solo-learn nor Lightning; :func:`register` does.
"""

from salmask_plugin.adapters.solo_learn.registration import register

__all__ = ["register"]
