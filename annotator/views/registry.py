"""Data versions, model versions, and the record of who did what."""
