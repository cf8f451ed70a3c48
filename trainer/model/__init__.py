"""The frozen base, PEFT's adapter on it, and the fast forward passes of both."""
