"""Language models: sites of the residual stream, reading and replacing states, flow maps."""
