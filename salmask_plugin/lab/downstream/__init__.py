"""What detection and depth share: a network around a pretrained backbone, trained and tested."""
