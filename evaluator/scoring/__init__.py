"""From a model's answers to samples and scores."""
