"""Password hashes: what is stored, how it is checked, and what a check costs."""
