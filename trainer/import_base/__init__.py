"""A base model from a GGUF file, the hub or the package index, as the safetensors directory that every stage reads."""
