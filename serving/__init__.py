"""Verifies, attests and serves an adapter with vLLM, and measures what it costs."""
