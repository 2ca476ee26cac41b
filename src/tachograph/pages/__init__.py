"""FAMILY: what people look at in a browser, one page per file."""
