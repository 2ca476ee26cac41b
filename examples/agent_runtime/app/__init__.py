"""A service in which five agents write, plan, explain and debug code under a human's eyes."""
