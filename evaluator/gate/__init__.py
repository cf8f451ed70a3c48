"""The release decision: checks, verdict and its three forms."""
