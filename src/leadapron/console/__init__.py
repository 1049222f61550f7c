"""Pages over the wings: what the watch found, the cases, the notices, the scans."""
