"""One run from settings to record: built, trained, stopped, resumed, recorded."""
