"""Taking the steps: optimizer, processes, validation, metrics, progress."""
