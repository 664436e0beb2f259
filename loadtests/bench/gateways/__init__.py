"""Other ways to write the dashboard, to compare with. Not how Hopline does it."""
