"""The store: an embedded database that keeps what the ledger saw, and proves that nobody has touched it."""
