"""How anything is written and trusted: whole or absent on disk, hashed, locked."""
