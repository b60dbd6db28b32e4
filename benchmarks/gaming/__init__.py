"""What each way to game the attribution earns, on the code that pays."""
