"""What is handed over of a run: written, loaded again in a fresh process, held against what was measured."""
