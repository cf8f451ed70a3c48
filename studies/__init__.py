"""Studies of the method: which part of it does what."""
