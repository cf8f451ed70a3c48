"""The method: the echo, its injection, and the loss of both paths."""
