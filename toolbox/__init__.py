"""What the three towers would otherwise write twice. Imports the standard library, numpy, pycocotools and httpx alone."""
