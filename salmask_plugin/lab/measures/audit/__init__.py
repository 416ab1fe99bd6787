"""What recipes remove of the object and of the background."""
