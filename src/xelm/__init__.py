"""Train a multilingual language model as a team of independent experts."""

__version__ = "0.1.0"
