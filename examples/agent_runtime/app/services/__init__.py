"""What the agents stand on: the model, tools, sessions, approvals, the database."""
