"""A model as judge of free answers: what it is asked, who is asked, and what its words count."""
