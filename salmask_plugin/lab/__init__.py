"""The laboratory around the plugin: everything that runs, measures and reports a study."""
