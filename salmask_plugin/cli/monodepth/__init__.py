"""Training and testing monocular depth on a pretrained encoder."""
