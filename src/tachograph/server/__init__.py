"""The web side: what a source answers, over HTTP."""
