"""What needs no training: what masks remove, how views spread, pictures of both."""
