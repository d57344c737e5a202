"""The seed, its sizes, and how any causal language model is scored."""
