"""Documents that training reads and writes."""
