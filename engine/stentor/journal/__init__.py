"""What the journal keeps, what waits in it alone, and whether it has room."""
