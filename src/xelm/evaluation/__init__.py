"""Tables of bits per byte, the forgetting matrix, significance, budgets."""
