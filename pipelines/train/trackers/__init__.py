"""Where a training is followed beside the terminal: TensorBoard, MLflow, Weights & Biases, trackio."""
