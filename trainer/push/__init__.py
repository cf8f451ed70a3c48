"""Publishes an adapter on a hub, with a card whose scores come from the run's own reports."""
