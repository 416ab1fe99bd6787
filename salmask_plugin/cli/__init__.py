"""The `salmask` command. The only place that reads configuration for our own runs."""
