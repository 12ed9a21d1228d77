"""Published bundles made again and compared with their manifests."""
