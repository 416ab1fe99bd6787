"""Training and testing a detector on a pretrained backbone."""
