"""The X-ELM itself: the bundle on disk, the router, the experts mixed into one causal LM."""
