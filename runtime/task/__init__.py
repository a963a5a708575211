"""Pure model code: no Flower, no AWS."""
