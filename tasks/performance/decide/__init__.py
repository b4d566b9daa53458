"""Rules of the review: pure functions over days."""
