"""The loop without a browser: a private copy of the product, an oracle in the person's place, rounds with figures."""
