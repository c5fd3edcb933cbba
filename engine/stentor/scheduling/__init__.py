"""Who goes next: queues, turns between accounts and batches, order, and the lanes that take from them."""
