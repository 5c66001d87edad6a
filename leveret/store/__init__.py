"""Floor 2: where messages and declarations rest."""
