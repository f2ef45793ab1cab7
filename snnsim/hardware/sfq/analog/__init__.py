"""Small networks at the level of junctions: somas that hold currents, fitted by the solver, in decks that are simulated."""
