"""Records that hold nothing but plain texts or plain turns: whole batches at once, by compiled code."""
