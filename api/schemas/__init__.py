"""Schemas of requests and answers by subject, with bounds and examples."""
