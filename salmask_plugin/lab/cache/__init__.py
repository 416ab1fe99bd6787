"""Saliency of every training image, made once, and how far it agrees with the views' own."""
