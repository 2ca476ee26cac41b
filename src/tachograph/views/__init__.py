"""FAMILY: one question per file, each a function of what the ledger holds."""
