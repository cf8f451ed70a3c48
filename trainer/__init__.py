"""Trains LoRA, DoRA, Echo-LoRA and Echo-DoRA adapters and exports them with their manifest."""
