"""python -m trainer study: arms x seeds x bases from one YAML file, planned before they run and analysed as planned."""
