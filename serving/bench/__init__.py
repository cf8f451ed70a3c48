"""The zero-overhead proof: what an adapter costs at inference, against a plain one of the same shape."""
