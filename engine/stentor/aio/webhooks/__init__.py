"""Webhooks at work: who is told of a commit, what is read on from the journal, and what is kept of each delivery."""
