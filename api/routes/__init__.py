"""Routes, one file per subject. They translate; they do not decide."""
