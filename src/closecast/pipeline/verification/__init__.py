"""Verification: published bundles are reproduced and compared with their manifests."""
