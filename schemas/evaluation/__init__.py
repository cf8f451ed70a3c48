"""Documents that evaluation and the gate read and write."""
