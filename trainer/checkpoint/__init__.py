"""What survives a kill: checkpoints, resuming, and the lock of a run."""
