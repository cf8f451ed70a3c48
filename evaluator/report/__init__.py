"""The parts of the self-contained HTML report: its data, its plots, its template."""
