"""From a trained model to an adapter that any PEFT tool loads."""
