"""Two views of every picture of a batch, made where the batch is."""
