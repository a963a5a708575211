"""The product on one machine: silos made of one file, a server and its clients as processes."""
