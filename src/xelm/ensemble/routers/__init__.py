"""Text so far -> weights over experts: one file a kind, all behind the `Router` of base.py."""
