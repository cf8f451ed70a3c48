"""From files and hub datasets to the batches of one optimizer step."""
