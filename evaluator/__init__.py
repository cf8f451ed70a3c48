"""Scores an adapter through lm-eval, compares runs on the same items, and gates a release."""
