"""What is refused before the engine starts."""
