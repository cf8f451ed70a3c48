"""python -m studies analyse: the analysis of a study, as it was planned before its first run."""
