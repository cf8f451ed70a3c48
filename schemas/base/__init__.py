"""The base model as every stage needs it: found, known by its fingerprints, its weights whole."""
