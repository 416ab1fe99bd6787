"""What was asked for: composed, checked, explained; the rows of a study."""
