"""What the webhook app, the push app and the hub have in common."""
