"""Routes of the gateway, one module per version or subject."""
