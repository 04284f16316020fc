"""Schema, formats, the dataset module, training, prediction and scoring."""
