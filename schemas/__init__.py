"""The documents that pass between the stages, and the few things two stages must agree on to the byte.

Nothing here imports torch: a config is refused, and an adapter verified, before anything heavy starts.
"""
