"""python -m evaluator study: the analysis of a study, as it was planned before its first run."""
