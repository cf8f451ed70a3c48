"""Tasks of one's own: from a suite file's words and rows to lm-eval tasks, everything checked before a model is opened."""
