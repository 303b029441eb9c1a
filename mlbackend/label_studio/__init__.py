"""Label Studio's ML-backend protocol over the same engine: see docs/label-studio.md."""
