"""The pass behind packing: the gate, and what a run says of personal data."""
