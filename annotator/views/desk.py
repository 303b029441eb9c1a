"""The pages around the two desks: the annotator's, the reviewer's, and the list of what waits for review."""
