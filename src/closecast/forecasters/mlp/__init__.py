"""A pooled scale model: how far prices may go, from features of past closes of many symbols.

``fit`` and ``network`` need torch; ``predict``, ``features`` and ``parameters`` do not.
"""
