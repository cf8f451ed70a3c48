"""Paired statistics of scored runs."""
