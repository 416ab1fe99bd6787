"""Classification on frozen and fine-tuned encoders, of a run or of any checkpoint."""
