"""Where accounts come from: modules behind one interface, asked in order."""
