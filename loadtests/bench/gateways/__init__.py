"""Other implementations of the dashboard, for comparison only."""
