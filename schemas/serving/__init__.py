"""Documents that serving writes."""
