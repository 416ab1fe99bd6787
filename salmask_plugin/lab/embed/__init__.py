"""Features of any pictures as files, and pictures of what an encoder finds alike."""
