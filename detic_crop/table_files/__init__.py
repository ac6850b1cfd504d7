"""Tables as people have them: which kind of file it is, and its rows as texts."""
