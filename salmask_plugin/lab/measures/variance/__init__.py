"""How far an image's views spread in an encoder."""
