"""`headrace verify`: whether what a run says that it has is what is stored."""
