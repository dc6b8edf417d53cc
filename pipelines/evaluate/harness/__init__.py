"""Tasks of lm-evaluation-harness, asked of base and tuned model: what public benchmarks say of forgetting."""
