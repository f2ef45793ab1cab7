"""Known data sets: what they are, where their files come from, how these are laid out, and synthetic twins of each."""
