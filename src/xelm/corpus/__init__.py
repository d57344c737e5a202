"""Text in: readers, languages, tokenizer, splits, token shards, shares, and the sample reader."""
