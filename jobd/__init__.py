"""jobd: a job daemon for one host."""
