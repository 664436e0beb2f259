"""Command line programs that run in the images of the services."""
