"""A bundle that grows: add, remove, upgrade, adopt experts; rounds of branching; its lineage."""
