"""A small invented world, the tiny base model that has read about it, and the commonsense-format tasks that ask about it."""
