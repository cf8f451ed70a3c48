"""Documents of a study: config, registered plan, report."""
