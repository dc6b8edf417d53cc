"""What a Parquet file claims of itself, read without trusting it: before Arrow acts on it."""
