"""Our lm-eval tasks: YAML files for lm-eval's TaskManager (`include_path`) and the functions that they name."""
