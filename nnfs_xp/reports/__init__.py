"""What is told of a trained table: figures beside those of others, and a page with all of it."""
