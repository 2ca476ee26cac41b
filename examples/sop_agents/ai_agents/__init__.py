"""Agents that work on a repository by standard operating procedures: command line, supervisors, micro agents."""
