"""The five agents."""
