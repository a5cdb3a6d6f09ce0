"""Command-line helpers around the library in ``src``."""
