"""Configurations for solo-learn's programs; a module so that Hydra finds it as pkg://."""
