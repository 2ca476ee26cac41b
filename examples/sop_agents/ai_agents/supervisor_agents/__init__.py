"""The middle layer: each supervisor knows one kind of task and whom to ask."""
