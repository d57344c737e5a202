"""One thin file a verb: arguments in, one call, what the user sees out."""
