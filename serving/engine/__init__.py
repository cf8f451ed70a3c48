"""vLLM: its process, its adapters, its limits."""
