"""Hands a verified adapter on to other servers: merged into its base, or as a GGUF file for llama.cpp."""
