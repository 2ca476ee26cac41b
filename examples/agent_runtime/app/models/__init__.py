"""The values that the parts of the service hand each other."""
