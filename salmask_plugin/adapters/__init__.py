"""Hosts. Each package below imports one of them; nothing else in salmask_plugin does."""
