"""python -m studies: arms x seeds x bases from one YAML file, planned before they run and analysed as planned."""
