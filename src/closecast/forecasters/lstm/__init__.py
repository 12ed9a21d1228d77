"""An LSTM on standardised returns. ``fit`` needs torch; ``predict`` and ``parameters`` do not."""
