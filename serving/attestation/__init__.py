"""Proof that the running server answers as trained."""
