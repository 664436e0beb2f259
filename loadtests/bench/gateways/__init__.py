"""Two gateways that implement only the dashboard, for comparison with Hopline's gateway."""
