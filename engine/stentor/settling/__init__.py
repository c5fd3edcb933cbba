"""What became of what was sent: outcomes, doubts, receipts and replies, and the commit they are told in."""
