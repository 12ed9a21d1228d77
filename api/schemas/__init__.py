"""Requests and answers, with their bounds and examples, by subject. No logic."""
