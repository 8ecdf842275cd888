"""Image files: what they say of themselves, and reading them."""
