"""What the three towers would otherwise write twice: the standard library, numpy, pycocotools and httpx alone."""
