"""Selection, local training, validation, aggregation, gate and record of a round: pure functions on flat vectors."""
